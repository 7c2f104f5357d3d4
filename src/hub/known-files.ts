/** Where files that workflows name can be had: names for `sd pull`, by the file's name. */

import { shortNames } from './short-names.ts';

/** A file, or files of one pattern, and the full name; `*` stands for the file. */
type KnownFile = readonly [file: string | RegExp, name: string];

const files: readonly KnownFile[] = [
  ['v1-5-pruned-emaonly-fp16.safetensors', 'hf:Comfy-Org/stable-diffusion-v1-5-archive/*'],
  ['v1-5-pruned-emaonly.ckpt', 'hf:stable-diffusion-v1-5/stable-diffusion-v1-5/*'],
  ['v1-5-pruned.safetensors', 'hf:stable-diffusion-v1-5/stable-diffusion-v1-5/*'],
  ['sd_xl_base_1.0.safetensors', 'hf:stabilityai/stable-diffusion-xl-base-1.0/*'],
  ['sd_xl_refiner_1.0.safetensors', 'hf:stabilityai/stable-diffusion-xl-refiner-1.0/*'],
  ['sd_xl_turbo_1.0_fp16.safetensors', 'hf:stabilityai/sdxl-turbo/*'],
  ['vae-ft-mse-840000-ema-pruned.safetensors', 'hf:stabilityai/sd-vae-ft-mse-original/*'],
  ['sdxl_vae.safetensors', 'hf:stabilityai/sdxl-vae/*'],
  [/^control_v11[a-z0-9]*_sd15s?2?_[a-z0-9_]+\.pth$/, 'hf:lllyasviel/ControlNet-v1-1/*'],
  [/^t2iadapter_[a-z]+_sd1[45]v[12]\.pth$/, 'hf:TencentARC/T2I-Adapter/models/*'],
  [/^ip-adapter[a-z0-9_-]*_sd15\.(?:safetensors|bin)$/, 'hf:h94/IP-Adapter/models/*'],
  [/^ip-adapter[a-z0-9_-]*_sdxl\.(?:safetensors|bin)$/, 'hf:h94/IP-Adapter/sdxl_models/*'],
  ['RealESRGAN_x4plus.pth', 'https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/*'],
  ['RealESRGAN_x2plus.pth', 'https://github.com/xinntao/Real-ESRGAN/releases/download/v0.2.1/*'],
];

/** The name with which `sd pull` fetches a file of this name; undefined where none is known. */
export function knownFile(path: string): string | undefined {
  const file = path.split(/[\\/]/).at(-1) ?? path;
  for (const [short, { name }] of Object.entries(shortNames)) if (name.endsWith(`/${file}`)) return short;
  const found = files.find(([known]) => (typeof known === 'string' ? known === file : known.test(file)));
  return found?.[1].replace('*', file);
}
