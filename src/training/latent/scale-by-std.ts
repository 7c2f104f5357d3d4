/** `scale_by_std` of LatentDiffusion: the factor that gives the first batch of latents unit variance. */

import { StableDiffusionError } from '../../errors.ts';
import type { Tensor } from '../../tensor/tensor.ts';

/** 1 / standard deviation (unbiased) of all elements. Throws `not-finite` for constant or broken latents. */
export function scaleByStd(latents: Tensor): number {
  const count = latents.data.length;
  let sum = 0;
  for (const value of latents.data) sum += Number(value);
  const mean = sum / count;
  let squares = 0;
  for (const value of latents.data) squares += (Number(value) - mean) ** 2;
  const factor = 1 / Math.sqrt(squares / (count - 1));
  if (!Number.isFinite(factor))
    throw new StableDiffusionError(
      'not-finite',
      `The first batch of latents has a standard deviation of ${1 / factor}; a scale cannot be set from it.`,
    );
  return factor;
}
