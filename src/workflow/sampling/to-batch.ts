/** Batches in the number of items of another. */

import type { Tensor } from '../../tensor/tensor.ts';

type Float32 = Tensor<'float32'>;

/** Items of a batch repeated or cut to a number. */
export function toBatch(value: Float32, count: number): Float32 {
  const [own = 1, ...rest] = value.shape;
  if (own === count) return value;
  const size = value.data.length / own;
  const data = new Float32Array(size * count);
  for (let i = 0; i < count; i++) data.set(value.data.subarray((i % own) * size, ((i % own) + 1) * size), i * size);
  return { ...value, shape: [count, ...rest], data };
}
