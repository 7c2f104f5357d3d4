/** `scale_by_std` of LatentDiffusion: the factor that gives the first batch of latents unit variance. */

import { alone, type Communicator } from '../../distributed/communicator.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { Tensor } from '../../tensor/tensor.ts';

/** 1 / standard deviation (unbiased) of all elements of all ranks. Throws `not-finite` for constant or broken latents. */
export async function scaleByStd(latents: Tensor, ranks: Communicator = alone): Promise<number> {
  const count = latents.data.length * ranks.size;
  let own = 0;
  for (const value of latents.data) own += Number(value);
  const { 0: sum = 0 } = await ranks.allReduce(Float64Array.of(own));
  const mean = sum / count;
  own = 0;
  for (const value of latents.data) own += (Number(value) - mean) ** 2;
  const { 0: squares = 0 } = await ranks.allReduce(Float64Array.of(own));
  const factor = 1 / Math.sqrt(squares / (count - 1));
  if (!Number.isFinite(factor))
    throw new StableDiffusionError(
      'not-finite',
      `The first batch of latents has a standard deviation of ${1 / factor}; a scale cannot be set from it.`,
    );
  return factor;
}
