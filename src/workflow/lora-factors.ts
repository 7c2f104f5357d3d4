/**
 * A matrix as the two factors of a LoRA, as ComfyUI's LoraSave (comfy_extras/nodes_lora_extract.py): its leading singular triplets, the
 * values with the left ones, both clamped to the 0.99 quantile of their elements. Kernels are matrices of their flat inputs.
 */

import { StableDiffusionError } from '../errors.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { leadingTriplets } from './leading-singular.ts';

export interface LoraFactors {
  readonly up: Tensor<'float32'>;
  readonly down: Tensor<'float32'>;
}

const clampQuantile = 0.99;

/** torch.quantile of the elements, between two of them linearly. */
function quantile(values: Float32Array, share: number): number {
  const sorted = Float32Array.from(values).sort();
  const at = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)] ?? 0, sorted[Math.ceil(at)] ?? 0];
  return low + (high - low) * (at - Math.floor(at));
}

/**
 * Up [out, rank] and down [rank, in], for kernels [out, rank, 1, 1] and [rank, in, h, w]. `turn` lets others have theirs. Throws `not-finite`.
 */
export async function factorsOf(
  { shape, data }: Tensor<'float32'>,
  rank: number,
  turn: () => Promise<void>,
): Promise<LoraFactors> {
  const [rows = 1, inputs = 1, ...kernel] = shape;
  const columns = data.length / rows;
  if (!data.every(Number.isFinite))
    throw new StableDiffusionError('not-finite', 'The difference of the models has numbers that are not finite.');
  const { values, left, right } = await leadingTriplets({ rows, columns, data }, Math.min(rank, rows, inputs), turn);
  const count = values.length;
  const all = new Float32Array(count * (rows + columns));
  const [up, down] = [all.subarray(0, rows * count), all.subarray(rows * count)];
  for (let k = 0; k < count; k++) {
    for (let r = 0; r < rows; r++) up[r * count + k] = (left[k]?.[r] as number) * (values[k] as number);
    down.set(right[k] as Float64Array, k * columns);
  }
  const limit = quantile(all, clampQuantile);
  for (let i = 0; i < all.length; i++) all[i] = Math.max(-limit, Math.min(limit, all[i] as number));
  const isKernel = kernel.length > 0;
  return {
    up: float32(isKernel ? [rows, count, 1, 1] : [rows, count], up),
    down: float32([count, inputs, ...kernel], down),
  };
}
