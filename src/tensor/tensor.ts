/** Tensor: an element type, a shape and a typed array in row-major (C) order. Plain data; every layer above passes these around. */

import { StableDiffusionError } from '../errors.ts';
import { arrayType, byteSize, type DataOf, type DType } from './dtype.ts';

export type Shape = readonly number[];

export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: Shape;
  readonly data: DataOf<D>;
}

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: Shape): number {
  let count = 1;
  for (const size of shape) count *= size;
  return count;
}

/** A tensor over `data`, which is not copied. Throws `shape-mismatch` if the sizes disagree. */
export function tensor<D extends DType>(dtype: D, shape: Shape, data: DataOf<D>): Tensor<D> {
  if (data.length !== elementCount(shape)) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `A tensor of shape [${shape.join(', ')}] needs ${elementCount(shape)} elements, and ${data.length} were given.`,
    );
  }
  return { dtype, shape, data };
}

/** Most elements of a new tensor: 8 GB of float32. */
const mostElements = 2 ** 31;

/** A tensor of zeros. Throws `too-large` for more elements than can be. */
export function zeros<D extends DType>(dtype: D, shape: Shape): Tensor<D> {
  const count = elementCount(shape);
  if (!(count <= mostElements))
    throw new StableDiffusionError(
      'too-large',
      `A tensor [${shape.join(', ')}] has ${count} elements, and at most ${mostElements} are possible. Use a smaller size or batch.`,
    );
  return { dtype, shape, data: new (arrayType(dtype))(elementCount(shape)) };
}

/** A float32 tensor from numbers (copied). */
export function float32(shape: Shape, values: ArrayLike<number>): Tensor<'float32'> {
  return tensor('float32', shape, Float32Array.from(values));
}

/** An int64 tensor from whole numbers (copied). */
export function int64(shape: Shape, values: ArrayLike<number>): Tensor<'int64'> {
  return tensor('int64', shape, BigInt64Array.from(Array.from(values, (value) => BigInt(value))));
}

/** The bytes of a tensor's data, without a copy. */
export function bytesOf(value: Tensor): Uint8Array {
  return new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength);
}

/** A tensor over little-endian `bytes`; copies only when they are not aligned for the element type. */
export function fromBytes<D extends DType>(dtype: D, shape: Shape, bytes: Uint8Array): Tensor<D> {
  const size = byteSize(dtype);
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return tensor(
    dtype,
    shape,
    new (arrayType(dtype))(aligned.buffer, aligned.byteOffset, Math.floor(aligned.byteLength / size)),
  );
}

/** Narrows a tensor to an element type; throws `shape-mismatch` where it has another. */
export function expectDType<D extends DType>(value: Tensor, dtype: D, what = 'tensor'): Tensor<D> {
  if (value.dtype !== dtype) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `${what} has element type ${value.dtype}, and ${dtype} was expected.`,
    );
  }
  return value as Tensor<D>;
}
