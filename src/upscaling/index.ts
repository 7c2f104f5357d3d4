/** Networks that enlarge or clean pictures: `.pth` and `.safetensors` files of ESRGAN, Real-ESRGAN, SwinIR, DAT and SCUNet. */

export { detectUpscaler, type ReadOptions, readUpscaler, type UpscalerNetwork } from '../models/upscalers/index.ts';
export { type UpscaleOptions, upscaleBy, upscaleOnce } from './upscale-image.ts';
export { createUpscaler, type Upscaler } from './upscaler.ts';
