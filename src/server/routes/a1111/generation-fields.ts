/** The fields of txt2img and img2img (modules/api/models.py of A1111 v1.10.1). Every one may be left out or null; others are ignored. */

import * as z from 'zod';
import { boundedList } from '../../admission/bounded-list.ts';
import { boolean, dict, float, floatWithin, integer, list, scripts, seed, text } from './pydantic.ts';

const shared = {
  prompt: text(),
  negative_prompt: text(),
  styles: list(),
  seed: seed(),
  subseed: seed(),
  subseed_strength: float(),
  seed_resize_from_h: integer(),
  seed_resize_from_w: integer(),
  sampler_name: text(),
  scheduler: text(),
  batch_size: integer(),
  n_iter: integer(),
  steps: integer(),
  cfg_scale: float(),
  width: integer(),
  height: integer(),
  restore_faces: boolean(),
  tiling: boolean(),
  do_not_save_samples: boolean(),
  do_not_save_grid: boolean(),
  eta: floatWithin(-100, 100),
  denoising_strength: float(),
  s_min_uncond: float(),
  s_churn: floatWithin(-1000, 1000),
  s_tmax: float(),
  s_tmin: float(),
  s_noise: floatWithin(-100, 100),
  override_settings: dict(),
  override_settings_restore_afterwards: boolean(),
  refiner_checkpoint: text(),
  refiner_switch_at: float(),
  disable_extra_networks: boolean(),
  firstpass_image: text(),
  comments: dict(),
  sampler_index: text(),
  script_name: text(),
  script_args: list(),
  send_images: boolean(),
  save_images: boolean(),
  alwayson_scripts: scripts(),
  force_task_id: text(),
  infotext: text(),
};

export const textToImageFields = z.object({
  ...shared,
  enable_hr: boolean(),
  firstphase_width: integer(),
  firstphase_height: integer(),
  hr_scale: float(),
  hr_upscaler: text(),
  hr_second_pass_steps: integer(),
  hr_resize_x: integer(),
  hr_resize_y: integer(),
  hr_checkpoint_name: text(),
  hr_sampler_name: text(),
  hr_scheduler: text(),
  hr_prompt: text(),
  hr_negative_prompt: text(),
});

const maskFile = text();

export const imageToImageFields = z.object({
  ...shared,
  init_images: z.preprocess((value) => value ?? null, boundedList(z.string(), 64).nullable()),
  resize_mode: integer(),
  image_cfg_scale: float(),
  mask: maskFile,
  mask_blur_x: integer(),
  mask_blur_y: integer(),
  mask_blur: integer(),
  mask_round: boolean(),
  inpainting_fill: integer(),
  inpaint_full_res: boolean(),
  inpaint_full_res_padding: integer(),
  inpainting_mask_invert: integer(),
  initial_noise_multiplier: floatWithin(0, 10),
  latent_mask: text(),
  include_init_images: boolean(),
});

export type TextToImageFields = z.output<typeof textToImageFields>;
export type ImageToImageFields = z.output<typeof imageToImageFields>;
/** Fields of both routes. */
export type SharedFields = Pick<TextToImageFields, keyof typeof shared>;

export const generationResponse = z.object({
  images: z.array(z.string()),
  parameters: z.record(z.string(), z.unknown()),
  info: z.string(),
});

/** A1111's defaults of omitted fields, as its answers show. */
const defaults: Readonly<Record<string, unknown>> = {
  prompt: '',
  negative_prompt: '',
  seed: -1,
  subseed: -1,
  subseed_strength: 0,
  seed_resize_from_h: -1,
  seed_resize_from_w: -1,
  batch_size: 1,
  n_iter: 1,
  steps: 50,
  cfg_scale: 7,
  do_not_save_samples: false,
  do_not_save_grid: false,
  denoising_strength: 0.75,
  override_settings_restore_afterwards: true,
  disable_extra_networks: false,
  sampler_index: 'Euler',
  script_args: [],
  send_images: true,
  save_images: false,
  alwayson_scripts: {},
  enable_hr: false,
  firstphase_width: 0,
  firstphase_height: 0,
  hr_scale: 2,
  hr_second_pass_steps: 0,
  hr_resize_x: 0,
  hr_resize_y: 0,
  hr_prompt: '',
  hr_negative_prompt: '',
  resize_mode: 0,
  mask_blur_x: 4,
  mask_blur_y: 4,
  mask_round: true,
  inpainting_fill: 0,
  inpaint_full_res: true,
  inpaint_full_res_padding: 0,
  inpainting_mask_invert: 0,
  include_init_images: false,
};

/** A1111's `parameters`: the request with defaults filled in. Initial pictures are not returned unless requested. */
export function parametersOf(
  body: TextToImageFields | ImageToImageFields,
  { width, height }: { readonly width: number; readonly height: number },
): Record<string, unknown> {
  const all = Object.entries(body).map(([field, value]) => [field, value ?? defaults[field] ?? null] as const);
  const hidden = 'include_init_images' in body && !body.include_init_images ? { init_images: null, mask: null } : {};
  return { ...Object.fromEntries(all), width: body.width ?? width, height: body.height ?? height, ...hidden };
}
