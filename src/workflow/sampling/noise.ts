/** The start noise of a latent: one draw for the whole batch, or item by item where the latent says which items they are. */

import { createNoise } from '../../random/create-noise.ts';
import type { Seed } from '../../random/seed.ts';
import { type Tensor, zeros } from '../../tensor/tensor.ts';
import type { LatentValue, NoiseValue } from '../values.ts';

/** Noise of a seed, up to 2^64 - 1. */
export function seededNoise(seed: Seed): NoiseValue {
  return {
    seed,
    make: ({ samples, batchIndex }) =>
      createNoise({ convention: 'comfy', seed, ...(batchIndex && { batchIndices: batchIndex }) }).normal(samples.shape),
  };
}

/** Zeros. */
export const noNoise: NoiseValue = {
  seed: 0,
  make: ({ samples }: LatentValue): Tensor<'float32'> => zeros('float32', samples.shape),
};
