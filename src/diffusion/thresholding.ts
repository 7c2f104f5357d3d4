/** Dynamic thresholding: Saharia et al. 2022, "Imagen" (arXiv 2205.11487), section 2.3. As diffusers' `_threshold_sample`. */

import type { Tensor } from '../tensor/tensor.ts';

/** The quantile of sorted values, linear between two as torch.quantile. */
function quantile(sorted: Float32Array, q: number): number {
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const [a, b] = [sorted[low], sorted[Math.min(low + 1, sorted.length - 1)]] as [number, number];
  return a + (b - a) * (at - low);
}

/** As DPM-Solver's `thresholding`: the 0.995 quantile, at least `least`, without an upper bound. */
export const thresholdedAt = (x0: Tensor<'float32'>, least: number): Tensor<'float32'> =>
  dynamicThreshold(x0, 0.995, Number.POSITIVE_INFINITY, least);

/**
 * Clips each item of the batch to the `ratio` quantile of its absolute values, which is put into [least, maximum], and divides by it.
 */
export function dynamicThreshold(x0: Tensor<'float32'>, ratio: number, maximum: number, least = 1): Tensor<'float32'> {
  const items = x0.shape[0] ?? 1;
  const size = x0.data.length / items;
  const data = new Float32Array(x0.data.length);
  for (let item = 0; item < items; item++) {
    const values = x0.data.subarray(item * size, (item + 1) * size);
    const limit = Math.min(Math.max(quantile(values.map(Math.abs).sort(), ratio), least), maximum);
    for (let i = 0; i < size; i++)
      data[item * size + i] = Math.min(Math.max(values[i] as number, -limit), limit) / limit;
  }
  return { ...x0, data };
}
