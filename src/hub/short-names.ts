/** Short names of well-known models: description, licence, and approximate download size. */

export interface ShortName {
  /** The full name (`model-name.ts`). */
  readonly name: string;
  readonly what: string;
  readonly licence: string;
  /** About; in bytes. */
  readonly bytes: number;
}

const openRail = 'CreativeML Open RAIL-M';

export const shortNames: Readonly<Record<string, ShortName>> = {
  'sd-v1-5': {
    name: 'hf:stable-diffusion-v1-5/stable-diffusion-v1-5/v1-5-pruned-emaonly.safetensors',
    what: 'Stable Diffusion 1.5',
    licence: openRail,
    bytes: 4.27e9,
  },
  'sd-v1-5-inpainting': {
    name: 'hf:stable-diffusion-v1-5/stable-diffusion-inpainting/sd-v1-5-inpainting.ckpt',
    what: 'Stable Diffusion 1.5 for inpainting',
    licence: openRail,
    bytes: 4.27e9,
  },
  'sd-v1-4': {
    name: 'hf:CompVis/stable-diffusion-v1-4',
    what: 'Stable Diffusion 1.4',
    licence: openRail,
    bytes: 5.5e9,
  },
  sdxl: {
    name: 'hf:stabilityai/stable-diffusion-xl-base-1.0/sd_xl_base_1.0.safetensors',
    what: 'Stable Diffusion XL 1.0',
    licence: 'CreativeML Open RAIL++-M',
    bytes: 6.94e9,
  },
  'instruct-pix2pix': {
    name: 'hf:timbrooks/instruct-pix2pix',
    what: 'InstructPix2Pix: pictures changed by an instruction',
    licence: 'MIT',
    bytes: 5.5e9,
  },
  'lcm-lora-sdv1-5': {
    name: 'hf:latent-consistency/lcm-lora-sdv1-5/pytorch_lora_weights.safetensors',
    what: 'LoRA for pictures in 4 steps',
    licence: openRail,
    bytes: 1.35e8,
  },
  'lcm-lora-sdxl': {
    name: 'hf:latent-consistency/lcm-lora-sdxl/pytorch_lora_weights.safetensors',
    what: 'LoRA for pictures of SDXL in 4 steps',
    licence: 'CreativeML Open RAIL++-M',
    bytes: 3.94e8,
  },
  'vae-ft-mse': {
    name: 'hf:stabilityai/sd-vae-ft-mse',
    what: 'autoencoder with better faces',
    licence: 'MIT',
    bytes: 3.35e8,
  },
  taesd: { name: 'hf:madebyollin/taesd', what: 'small autoencoder for previews', licence: 'MIT', bytes: 9.8e6 },
  taesdxl: {
    name: 'hf:madebyollin/taesdxl',
    what: "small autoencoder for previews of SDXL's pictures",
    licence: 'MIT',
    bytes: 9.8e6,
  },
};
