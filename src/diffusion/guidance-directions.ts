/**
 * Classifier-free guidance by directions: without what lies along the conditional output (Sadat et al. 2024, "Eliminating Oversaturation",
 * arXiv 2410.02416), with the rescaling of Lin et al. 2023, and CFG++ (Chung et al. 2024, arXiv 2406.08070). As denoising-diffusion-pytorch.
 */

import { linearCombination } from '../tensor/arithmetic.ts';
import { rescaleGuided } from './guidance.ts';
import { mapPixels, type Pixels } from './gaussian/gaussian-process.ts';

/** The parts of x along and across `onto`, over each whole picture. */
export function projected(x: Pixels, onto: Pixels): { readonly parallel: Pixels; readonly orthogonal: Pixels } {
  const items = x.shape[0] ?? 1;
  const size = x.data.length / items;
  const shares = Array.from({ length: items }, (_, item) => {
    let [product, square] = [0, 0];
    for (let i = item * size; i < (item + 1) * size; i++) {
      product += (x.data[i] as number) * (onto.data[i] as number);
      square += (onto.data[i] as number) ** 2;
    }
    return product / Math.max(square, 1e-24);
  });
  const parallel = mapPixels(x, (i, item) => (shares[item] as number) * (onto.data[i] as number));
  return { parallel, orthogonal: linearCombination([1, x], [-1, parallel]) };
}

export interface DirectionOptions {
  readonly scale: number;
  /** Share of the parallel part that is kept. Default 0; 1 is plain guidance. */
  readonly keepParallel?: number;
  /** Guidance rescale factor φ, 0 to 1. Default 0. */
  readonly rescale?: number;
}

/** conditional + (scale - 1) · update, where the update is (conditional - unconditional) with less of its parallel part. */
export function guideByDirection(
  conditional: Pixels,
  unconditional: Pixels,
  { scale, keepParallel = 0, rescale = 0 }: DirectionOptions,
): Pixels {
  const update = linearCombination([1, conditional], [-1, unconditional]);
  const { parallel, orthogonal } = projected(update, conditional);
  const kept = keepParallel === 1 ? update : linearCombination([1, orthogonal], [keepParallel, parallel]);
  const guided = linearCombination([1, conditional], [scale - 1, kept]);
  return rescale > 0 ? rescaleGuided(guided, conditional, rescale) : guided;
}
