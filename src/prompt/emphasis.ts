/** Applies the weights of a prompt's tokens to the text encoder's output (modules/sd_emphasis.py of A1111 v1.10.1). */

import { StableDiffusionError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** A1111's names: brackets are text; weights have no effect; each vector times its weight and the mean restored; the same without restoring it. */
export const emphases = ['None', 'Ignore', 'Original', 'No norm'] as const;
export type Emphasis = (typeof emphases)[number];

/** A mean and what makes it, in float64. */
function meanOf({ data, shape }: Tensor<'float32'>, counts: readonly number[]): number {
  const size = data.length / (shape[0] ?? 1);
  let sum = 0;
  let items = 0;
  for (const [row, count] of counts.entries()) {
    let rowSum = 0;
    for (let i = row * size; i < (row + 1) * size; i++) rowSum += data[i] as number;
    sum += count * rowSum;
    items += count * size;
  }
  return Math.fround(sum / items);
}

/**
 * Contexts float32 [n, tokens, width] with the weights of their tokens, [n][tokens]. `Original` restores the mean over all of them together;
 * `counts` is the number of repetitions of each, by default 1.
 * @throws `shape-mismatch` for weights of another number
 */
export function applyEmphasis(
  contexts: Tensor<'float32'>,
  weights: readonly (readonly number[])[],
  emphasis: Emphasis,
  counts: readonly number[] = weights.map(() => 1),
): Tensor<'float32'> {
  const [n = 0, tokens = 0, width = 0] = contexts.shape;
  if (weights.length !== n || weights.some((row) => row.length !== tokens)) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `There are contexts of shape [${contexts.shape.join(', ')}], and weights for ${weights.length} sequences of ${weights[0]?.length ?? 0} tokens.`,
    );
  }
  if (emphasis === 'None' || emphasis === 'Ignore') return contexts;
  const factors = Float32Array.from(weights.flat());
  // Exact: the mean is what it was.
  if (factors.every((factor) => factor === 1)) return contexts;
  const weighted = {
    ...contexts,
    data: contexts.data.map((value, i) => value * (factors[Math.floor(i / width)] as number)),
  };
  if (emphasis === 'No norm') return weighted;
  const restoring = Math.fround(meanOf(contexts, counts) / meanOf(weighted, counts));
  return { ...weighted, data: weighted.data.map((value) => value * restoring) };
}
