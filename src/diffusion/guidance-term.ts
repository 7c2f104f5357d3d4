/** What terms of guidance beyond the classifier-free one share. */

import type { Latent } from './denoiser.ts';

/** guided + factor · (a - b), rounded at every operation as in float32 PyTorch. */
export function addDifference(guided: Latent, factor: number, a: Latent, b: Latent): Latent {
  const data = guided.data.map(
    (value, i) => value + Math.fround(factor * Math.fround((a.data[i] as number) - (b.data[i] as number))),
  );
  return { ...guided, data };
}
