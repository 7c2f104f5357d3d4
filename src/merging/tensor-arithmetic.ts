/** Sums and multiples of weights as PyTorch makes them: each step in float32, rounded to the element type of its operands. */

import { StableDiffusionError } from '../errors.ts';
import { convert, toFloat32 } from '../tensor/convert.ts';
import type { DType } from '../tensor/dtype.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';

const floats: ReadonlySet<DType> = new Set<DType>(['float32', 'float16', 'bfloat16', 'float64']);

/** Values after rounding to an element type. */
function through(values: Float32Array, shape: readonly number[], dtype: DType): Tensor {
  return dtype === 'float32' ? float32(shape, values) : convert(float32(shape, values), dtype);
}

function valuesOf(value: Tensor): Float32Array {
  if (floats.has(value.dtype)) return toFloat32(value).data;
  throw new StableDiffusionError('weights-mismatch', `A tensor of ${value.dtype} cannot be merged; only floats can.`);
}

function scaled(value: Tensor, factor: number): Tensor {
  const by = Math.fround(factor);
  return through(
    valuesOf(value).map((x) => x * by),
    value.shape,
    value.dtype,
  );
}

function difference(a: Tensor, b: Tensor): Tensor {
  if (a.shape.join() !== b.shape.join())
    throw new StableDiffusionError(
      'weights-mismatch',
      `A tensor is [${a.shape.join(', ')}] in B and [${b.shape.join(', ')}] in C. Merge checkpoints of one architecture.`,
    );
  const right = valuesOf(b);
  const dtype = a.dtype === b.dtype ? a.dtype : 'float32';
  return through(
    valuesOf(a).map((x, i) => x - (right[i] as number)),
    a.shape,
    dtype,
  );
}

/**
 * a + b in an element type. Where `b` has fewer input channels (axis 1), only the first channels change; the others are `rest`'s, a tensor
 * of a's shape.
 */
function sum(a: Tensor, b: Tensor, dtype: DType, rest: Tensor): Tensor {
  const [left, right] = [valuesOf(a), valuesOf(b)];
  if (left.length === right.length)
    return through(
      left.map((x, i) => x + (right[i] as number)),
      a.shape,
      dtype,
    );
  const [outputs = 1, from = 1] = a.shape;
  const to = b.shape[1] ?? 1;
  const inner = left.length / (outputs * from);
  const values = valuesOf(rest).slice();
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < to * inner; i++) {
      const at = o * from * inner + i;
      values[at] = (left[at] as number) + (right[o * to * inner + i] as number);
    }
  return through(values, a.shape, dtype);
}

const zeros = (like: Tensor): Tensor => through(new Float32Array(like.data.length), like.shape, like.dtype);

/** Above this cosine two tensors count as parallel, and are mixed along the line between them. */
const parallel = 0.9995;
/** Shorter tensors have no direction. */
const shortest = 1e-8;

/**
 * From `a` to `b` along the arc between their directions (Shoemake 1985; `slerp` of mergekit): (sin((1 - t) angle) a + sin(t angle) b) / sin(angle).
 * Each tensor is one vector. In float64, rounded to `dtype` at the end.
 */
function slerp(a: Tensor, b: Tensor, t: number, dtype: DType): Tensor {
  const [left, right] = [valuesOf(a), valuesOf(b)];
  let [product, leftSquare, rightSquare] = [0, 0, 0];
  for (const [i, x] of left.entries()) {
    const y = right[i] as number;
    product += x * y;
    leftSquare += x * x;
    rightSquare += y * y;
  }
  const unit = (square: number): number => (Math.sqrt(square) > shortest ? Math.sqrt(square) : 1);
  const cosine = product / (unit(leftSquare) * unit(rightSquare));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const isLine = Math.abs(cosine) > parallel;
  const [share, rest] = isLine
    ? [t, 1 - t]
    : [Math.sin(angle * t) / Math.sin(angle), Math.sin(angle * (1 - t)) / Math.sin(angle)];
  return through(
    left.map((x, i) => rest * x + share * (right[i] as number)),
    a.shape,
    dtype,
  );
}

export const arithmetic = { scaled, difference, sum, zeros, slerp };
