/**
 * Logged pictures as latent-diffusion's `ImageLogger` and `log_images` have them (main.py, ddpm.py): which are made, at which steps, and their files
 * `images/SPLIT/NAME_gs-STEP_e-EPOCH_b-BATCH.png`.
 */

import * as z from 'zod';
import type { Image } from '../image/image.ts';

const toggle = (value: boolean, text: string) => z.boolean().default(value).describe(text);

/** Arguments of `LatentDiffusion.log_images`. */
export const logImagesSchema = z.strictObject({
  N: z.int().positive().default(8).describe('pictures of the batch'),
  n_row: z.int().positive().default(4).describe('rows of `diffusion_row`'),
  sample: toggle(true, 'make `samples`'),
  ddim_steps: z
    .int()
    .positive()
    .nullable()
    .default(200)
    .describe('steps of the samples; null: all timesteps, ancestral'),
  ddim_eta: z.number().min(0).default(1).describe('noise of the samples'),
  quantize_denoised: toggle(true, 'VQ: make `samples_x0_quantized`'),
  inpaint: toggle(true, 'make `samples_inpainting`, `samples_outpainting` and `mask`'),
  plot_denoise_rows: toggle(false, 'make `denoise_row`'),
  plot_progressive_rows: toggle(true, 'make `progressive_row`: the guesses of the clean picture over all timesteps'),
  plot_diffusion_rows: toggle(true, 'make `diffusion_row`: the pictures under growing noise'),
  return_keys: z.array(z.string()).optional().describe('only these, if there are any of them'),
});
export type LogImages = Readonly<z.output<typeof logImagesSchema>>;

export interface ImageLogSettings {
  /** Steps between logs. */
  readonly every: number;
  /** Also at 1, 2, 4, … up to `every`. */
  readonly increases: boolean;
  readonly logsFirst: boolean;
  /** Most pictures of a kind. */
  readonly most: number;
  readonly log: LogImages;
}

/** Whether pictures are logged after a step, the first of which is 1. */
export function isLogged({ every, increases, logsFirst }: ImageLogSettings, step: number): boolean {
  const isPower = (step & (step - 1)) === 0;
  return step % every === 0 || (increases && isPower && step <= every) || (logsFirst && step === 1);
}

/** One kind of pictures, all of a size. */
export interface LoggedImages {
  readonly name: string;
  readonly images: readonly Image<3>[];
  /** In a row of the grid. Default 4. */
  readonly columns?: number;
}

/** Between and around the pictures: 0 of the range -1 to 1. */
export const logBackground = 127;

const padded = (value: number): string => String(value).padStart(6, '0');

export interface LogPlace {
  readonly split: 'train' | 'val';
  readonly step: number;
  readonly epoch: number;
  readonly batch: number;
}

export const logFileName = (name: string, { step, epoch, batch }: LogPlace): string =>
  `${name}_gs-${padded(step)}_e-${padded(epoch)}_b-${padded(batch)}.png`;
