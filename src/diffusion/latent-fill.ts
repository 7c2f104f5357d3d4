/** What fills the hole of a latent before it is painted: A1111's "latent noise" and "latent nothing" (modules/processing.py, v1.10.1). */

import type { Latent } from './denoiser.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';

export const latentFills = ['original', 'latent noise', 'latent nothing'] as const;
export type LatentFill = (typeof latentFills)[number];

/** `latent` [b, c, h, w] where `painted` [1, 1, h, w] is 0; where it is 1 noise, or zeros. `draw` makes standard normal noise of the latent's shape. */
export function filledLatent(latent: Latent, painted: Tensor<'float32'>, fill: LatentFill, draw: () => Latent): Latent {
  if (fill === 'original') return latent;
  const noise = fill === 'latent noise' ? draw().data : undefined;
  const plane = painted.data.length;
  const data = latent.data.map((value, i) => {
    const share = painted.data[i % plane] as number;
    const kept = Math.fround(value * Math.fround(1 - share));
    return noise ? kept + Math.fround((noise[i] as number) * share) : kept;
  });
  return float32(latent.shape, data);
}
