/**
 * Elementwise arithmetic on float32 tensors, and concatenation along an axis, as far as samplers and guidance need them.
 *
 * Every function returns a new tensor. Sums are taken in float64 and rounded once, to float32. Shapes must be equal unless a
 * function says that it broadcasts; otherwise `shape-mismatch` is thrown.
 */

import { StableDiffusionError } from '../errors.ts';
import { arrayType } from './dtype.ts';
import { elementCount, type Shape, type Tensor } from './tensor.ts';

type Float32 = Tensor<'float32'>;

/** One term of a linear combination: coefficient times tensor. */
export type Term = readonly [coefficient: number, value: Float32];

function make(shape: Shape): Float32 {
  return { dtype: 'float32', shape, data: new Float32Array(elementCount(shape)) };
}

function sameShape(a: Float32, b: Float32): void {
  if (a.shape.length === b.shape.length && a.shape.every((size, i) => size === b.shape[i])) return;
  throw new StableDiffusionError(
    'shape-mismatch',
    `Tensors of shapes [${a.shape.join(', ')}] and [${b.shape.join(', ')}] cannot be combined element by element.`,
  );
}

/** Σ coefficient · value, over one or more tensors of one shape. */
export function linearCombination(first: Term, ...rest: readonly Term[]): Float32 {
  const result = make(first[1].shape);
  const out = result.data;
  const count = out.length;
  const [a, { data: x }] = first;
  const [second, third] = rest;
  if (!second) {
    for (let i = 0; i < count; i++) out[i] = a * (x[i] as number);
    return result;
  }
  for (const [, value] of rest) sameShape(first[1], value);
  const [b, { data: y }] = second;
  if (!third) {
    for (let i = 0; i < count; i++) out[i] = a * (x[i] as number) + b * (y[i] as number);
    return result;
  }
  for (let i = 0; i < count; i++) {
    let sum = a * (x[i] as number);
    for (const [coefficient, value] of rest) sum += coefficient * (value.data[i] as number);
    out[i] = sum;
  }
  return result;
}

/** factor · x. */
export function scale(x: Float32, factor: number): Float32 {
  return linearCombination([factor, x]);
}

/** x + factor · y. */
export function addScaled(x: Float32, factor: number, y: Float32): Float32 {
  return linearCombination([1, x], [factor, y]);
}

/** x - y. */
export function subtract(x: Float32, y: Float32): Float32 {
  return linearCombination([1, x], [-1, y]);
}

/** x with every element put into [low, high]. */
export function clamp(x: Float32, low: number, high: number): Float32 {
  const result = make(x.shape);
  for (let i = 0; i < x.data.length; i++) result.data[i] = Math.min(Math.max(x.data[i] as number, low), high);
  return result;
}

/** Offsets into `value` for each element of `shape`; dimensions of `value` that are 1 are repeated. */
function broadcastIndex(value: Float32, shape: Shape): Uint32Array {
  const index = new Uint32Array(elementCount(shape));
  if (value.shape.length !== shape.length || value.shape.some((size, i) => size !== 1 && size !== shape[i])) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `A tensor of shape [${value.shape.join(', ')}] cannot be broadcast to [${shape.join(', ')}].`,
    );
  }
  let block = 1; // elements of `index` filled so far, for the dimensions to the right
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] as number;
    const step = value.shape[axis] === 1 ? 0 : stride;
    for (let k = 1; k < size; k++)
      for (let i = 0; i < block; i++) index[k * block + i] = (index[i] as number) + k * step;
    block *= size;
    stride *= value.shape[axis] as number;
  }
  return index;
}

/** mask · a + (1 - mask) · b. The mask's dimensions of size 1 are broadcast: [n or 1, c or 1, h, w]. */
export function blend(mask: Float32, a: Float32, b: Float32): Float32 {
  sameShape(a, b);
  const result = make(a.shape);
  const at = broadcastIndex(mask, a.shape);
  for (let i = 0; i < result.data.length; i++) {
    const weight = mask.data[at[i] as number] as number;
    result.data[i] = weight * (a.data[i] as number) + (1 - weight) * (b.data[i] as number);
  }
  return result;
}

/** Puts tensors of one element type, whichever it is, that differ in their size along `axis` only, one behind the other along it (as torch.cat). */
export function concatenate<T extends Tensor>(values: readonly [T, ...T[]], axis: number): T {
  const [first] = values;
  const outer = elementCount(first.shape.slice(0, axis));
  const inner = elementCount(first.shape.slice(axis + 1));
  let size = 0;
  for (const value of values) {
    if (value.shape.length !== first.shape.length || value.shape.some((n, i) => i !== axis && n !== first.shape[i])) {
      throw new StableDiffusionError(
        'shape-mismatch',
        `Tensors of shapes [${first.shape.join(', ')}] and [${value.shape.join(', ')}] cannot be joined along axis ${axis}.`,
      );
    }
    size += value.shape[axis] as number;
  }
  const shape = first.shape.map((n, i) => (i === axis ? size : n));
  const data = new (arrayType(first.dtype))(elementCount(shape));
  let offset = 0;
  for (let block = 0; block < outer; block++) {
    for (const value of values) {
      const length = (value.shape[axis] as number) * inner;
      (data as Float32Array).set((value.data as Float32Array).subarray(block * length, (block + 1) * length), offset);
      offset += length;
    }
  }
  return { ...first, shape, data };
}

/**
 * a · x + b · y with the coefficients and both products rounded to float32, as PyTorch computes that expression: for code that is to agree
 * with an original to the bit, where its next step is sensitive to the last one.
 */
export function roundedSum(a: number, x: Float32, b: number, y: Float32): Float32 {
  sameShape(x, y);
  const result = make(x.shape);
  const [p, q] = [Math.fround(a), Math.fround(b)];
  for (let i = 0; i < result.data.length; i++)
    result.data[i] = Math.fround(p * (x.data[i] as number)) + Math.fround(q * (y.data[i] as number));
  return result;
}
