/** Values that lie in memory in another order than row-major, such as channels last. */

import { elementCount, type Shape } from '../tensor/tensor.ts';

/**
 * Row-major values of `drawn`, whose elements lie in the order of memory.
 * @param order the dimensions of `shape` from the outermost in memory to the innermost: [0, 2, 3, 1] for channels last
 */
export function inRowMajorOrder(drawn: Float32Array, shape: Shape, order: readonly number[]): Float32Array {
  const strides = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = (strides[i + 1] as number) * (shape[i + 1] as number);
  const count = elementCount(shape);
  const data = new Float32Array(count);
  const index = new Array<number>(shape.length).fill(0);
  let offset = 0;
  for (let i = 0; i < count; i++) {
    data[offset] = drawn[i] as number;
    for (let k = order.length - 1; k >= 0; k--) {
      const dimension = order[k] as number;
      const stride = strides[dimension] as number;
      const next = (index[dimension] as number) + 1;
      if (next < (shape[dimension] as number)) {
        index[dimension] = next;
        offset += stride;
        break;
      }
      offset -= stride * (next - 1);
      index[dimension] = 0;
    }
  }
  return data;
}
