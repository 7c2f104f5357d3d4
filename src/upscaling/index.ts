/** Networks that enlarge or clean pictures: `.pth` and `.safetensors` files of ESRGAN, Real-ESRGAN, SwinIR, DAT and SCUNet. */

export { detectUpscaler, type ReadOptions, readUpscaler, type UpscalerNetwork } from '../models/upscalers/index.ts';
export {
  type FaceDetectorNetwork,
  type FaceParserNetwork,
  type FaceRestorerNetwork,
  readFaceDetector,
  readFaceParser,
  readFaceRestorer,
} from '../models/faces/index.ts';
export {
  createFaceRestorer,
  type FaceNetworks,
  type FaceRestorer,
  restoreFaces,
  type RestoreFacesOptions,
} from './faces/restore-faces.ts';
export { type UpscaleOptions, upscaleBy, upscaleOnce } from './upscale-image.ts';
export { createUpscaler, type Upscaler } from './upscaler.ts';
