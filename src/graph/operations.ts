/**
 * The closed set of operations networks are written in: for each its attributes and its shape rule.
 *
 * The same names index two further tables, which therefore cannot forget one: the gradients (`gradients.ts`) and the ONNX forms
 * (`../onnx/forms.ts`). Semantics are PyTorch's where the name is PyTorch's; layouts are NCHW and [out, in, kh, kw].
 */

import { StableDiffusionError } from '../errors.ts';
import type { DType } from '../tensor/dtype.ts';
import {
  addDims,
  type Dim,
  dimText,
  divideDim,
  equalDims,
  multiplyDims,
  productOfDims,
  shapeText,
  subtractDims,
} from './dim.ts';
import type { Value } from './value.ts';

type None = Readonly<Record<never, never>>;

/** Padding before and after the two image axes: [top, left, bottom, right]. */
export type Pads = readonly [number, number, number, number];

export interface Window {
  readonly kernel: readonly [number, number];
  readonly stride: number;
  readonly pads: Pads;
}

/** Attributes by operation. */
export interface Attributes {
  // Element by element, one input.
  neg: None;
  exp: None;
  log: None;
  sqrt: None;
  abs: None;
  sign: None;
  reciprocal: None;
  floor: None;
  erf: None;
  sin: None;
  cos: None;
  tanh: None;
  sigmoid: None;
  relu: None;
  softplus: None;
  /** x · sigmoid(x) (Ramachandran et al. 2017). */
  silu: None;
  /** x · sigmoid(1.702 x), CLIP's activation. */
  quickGelu: None;
  /** x · Φ(x), the exact erf form (Hendrycks & Gimpel 2016). */
  gelu: None;
  leakyRelu: { readonly slope: number };
  clamp: { readonly min: number; readonly max: number };
  cast: { readonly dtype: DType };
  /** Mean over the ranks that train together; in a program of one process the value itself. */
  rankMean: None;
  // Element by element, two inputs, with NumPy broadcasting.
  add: None;
  sub: None;
  mul: None;
  div: None;
  pow: None;
  maximum: None;
  minimum: None;
  /** a < b, as bool. */
  less: None;
  equal: None;
  /** condition ? a : b. */
  where: None;
  // Contractions.
  /** [..., n, k] × [..., k, m] with broadcast batch axes; either may be given with its last two axes swapped. */
  matmul: { readonly transposeA: boolean; readonly transposeB: boolean };
  /** x [..., in] · weightᵀ + bias; weight [out, in]. */
  linear: None;
  /** x [..., in] · weight · diag(scale) + bias; weight int8 [in, out], scale [out]. x is rounded to 8 bits over its own range, or each row over its own. */
  int8Linear: { readonly range: 'tensor' | 'row' };
  /** x [..., in] · weightᵀ + bias in float32; weight uint8 [out, in / 32, bytes] in blocks of 32 numbers of 4 or 8 bits, zero in the middle; scale [out, in / 32]. */
  blockLinear: { readonly bits: 4 | 8 };
  /** Cross-correlation in the same arithmetic, with channels last: x [b, h, w, in]; weight int8 [kh · kw · in, out], scale [out]. */
  int8Conv2d: Window;
  /** The same of stride 1 with weight int8 [out, in, kh, kw], faster on large images. Its result is rounded to 8 bits as well, over the range of every fourth row and column. */
  int8DirectConv2d: Pick<Window, 'pads'>;
  /** Cross-correlation, x [b, in, h, w], weight [out, in / groups, kh, kw]. */
  conv2d: { readonly stride: number; readonly pads: Pads; readonly groups: number };
  /** The transpose of conv2d: x [b, out, h, w], weight [out, in / groups, kh, kw] to [b, in, height, width]. */
  convTranspose2d: {
    readonly stride: number;
    readonly pads: Pads;
    readonly groups: number;
    readonly height: Dim;
    readonly width: Dim;
  };
  /** Gradient of conv2d to its weight: (x, gradient of the output) → [out, in / groups, kh, kw]. */
  conv2dWeightGradient: Window & { readonly groups: number };
  /** softmax(q kᵀ · scale + mask) v over `heads` contiguous slices of the last axis; q [b, n, h·d], k [b, m, h·d], v [b, m, h·e]. An optional fourth input is added to the scores [b or 1, h or 1, n, m]. */
  attention: { readonly heads: number; readonly scale: number; readonly causal: boolean };
  // Normalisation.
  groupNorm: { readonly groups: number; readonly epsilon: number };
  /** The same over [b, h, w, c]. */
  groupNormLast: { readonly groups: number; readonly epsilon: number };
  layerNorm: { readonly epsilon: number };
  softmax: { readonly axis: number };
  // Reduction.
  sum: { readonly axes: readonly number[]; readonly keepDims: boolean };
  mean: { readonly axes: readonly number[]; readonly keepDims: boolean };
  max: { readonly axes: readonly number[]; readonly keepDims: boolean };
  /** Index of the first largest element along an axis, int64. */
  argmax: { readonly axis: number; readonly keepDims: boolean };
  argmin: { readonly axis: number; readonly keepDims: boolean };
  // Layout.
  reshape: { readonly shape: readonly Dim[] };
  transpose: { readonly permutation: readonly number[] };
  concat: { readonly axis: number };
  /** Elements start, start + step … < end of an axis. */
  slice: { readonly axis: number; readonly start: Dim; readonly end: Dim; readonly step: number };
  /** Pads with a constant: how many elements before and after each axis. */
  pad: { readonly before: readonly Dim[]; readonly after: readonly Dim[]; readonly value: number };
  expand: { readonly shape: readonly Dim[] };
  // Sizes as values; no inputs.
  /** 0, 1, … length - 1, int64. */
  range: { readonly length: Dim };
  /** A size of the graph as a float32 scalar. */
  dimension: { readonly size: Dim };
  // Differentiation and order of evaluation; the first input's values unchanged.
  /** A constant to the gradient (PyTorch's detach). */
  stopGradient: None;
  /** The first input, available only once the second has been calculated: keeps recomputation late and apart from the original. */
  barrier: None;
  // Lookup.
  /** Rows of a table: table [n, ...rest], ids int64 [...ids] → [...ids, ...rest]. */
  gather: None;
  /** Adds rows into zeros: ids int64 [...ids], rows [...ids, ...rest] → [size, ...rest]. The gradient of gather. */
  scatterAdd: { readonly size: Dim };
  oneHot: { readonly depth: number };
  // Images.
  /** Repeats each pixel `scale` times along height and width. */
  upsampleNearest: { readonly scale: number };
  /** Resamples to a fraction or multiple of the size; align_corners False, no antialiasing (torch.nn.functional.interpolate). */
  resize: { readonly mode: 'nearest' | 'bilinear' | 'bicubic'; readonly scale: number };
  avgPool: Window;
  maxPool: Window;
}

export type OpName = keyof Attributes;

export interface ValueType {
  readonly dtype: DType;
  readonly shape: readonly Dim[];
}

export interface Operation<K extends OpName> {
  /** Type of the output. Throws `shape-mismatch` for inputs the operation does not take. */
  readonly infer: (inputs: readonly Value[], attributes: Attributes[K]) => ValueType;
  /** Floating-point operations as a dimension (a multiplication and an addition count as two); 0 if it moves data only. */
  readonly flops: (inputs: readonly Value[], attributes: Attributes[K], output: ValueType) => Dim;
}

function mismatch(op: string, message: string): never {
  throw new StableDiffusionError('shape-mismatch', `${op}: ${message}`);
}

function at<T>(list: readonly T[], index: number): T {
  const item = list.at(index);
  if (item === undefined)
    throw new StableDiffusionError(
      'shape-mismatch',
      `An operation was given ${list.length} values where it needs more.`,
    );
  return item;
}

/** Position of an axis counted from the end where negative. */
export function axisOf(axis: number, rank: number): number {
  const position = axis < 0 ? axis + rank : axis;
  if (position < 0 || position >= rank) mismatch('axis', `axis ${axis} does not exist in ${rank} dimensions.`);
  return position;
}

/** NumPy's broadcasting of two shapes. */
export function broadcastShapes(a: readonly Dim[], b: readonly Dim[], op = 'broadcast'): Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x === 1) return y;
    if (y === 1 || equalDims(x, y)) return x;
    return mismatch(
      op,
      `shapes ${shapeText(a)} and ${shapeText(b)} do not broadcast (${dimText(x)} against ${dimText(y)}).`,
    );
  });
}

const size = (value: ValueType): Dim => productOfDims(value.shape);
const noFlops = (): Dim => 0;
const onePerElement = (_: readonly Value[], __: unknown, output: ValueType): Dim => size(output);

function unary<K extends OpName>(cost = 1): Operation<K> {
  return { infer: (inputs) => at(inputs, 0), flops: (_, __, output) => multiplyDims(cost, size(output)) };
}

function binary<K extends OpName>(op: K, dtype?: DType): Operation<K> {
  return {
    infer: (inputs) => {
      const a = at(inputs, 0);
      const b = at(inputs, 1);
      if (a.dtype !== b.dtype) mismatch(op, `element types ${a.dtype} and ${b.dtype} differ; cast one.`);
      return { dtype: dtype ?? a.dtype, shape: broadcastShapes(a.shape, b.shape, op) };
    },
    flops: onePerElement,
  };
}

function reduce<K extends 'sum' | 'mean' | 'max'>(): Operation<K> {
  return {
    infer: (inputs, { axes, keepDims }) => {
      const x = at(inputs, 0);
      const reduced = new Set(axes.map((axis) => axisOf(axis, x.shape.length)));
      const shape = x.shape.flatMap((dimension, axis) => (reduced.has(axis) ? (keepDims ? [1] : []) : [dimension]));
      return { dtype: x.dtype, shape };
    },
    flops: (inputs) => size(at(inputs, 0)),
  };
}

function argReduce<K extends 'argmax' | 'argmin'>(): Operation<K> {
  return {
    infer: (inputs, { axis, keepDims }) => {
      const x = at(inputs, 0);
      const position = axisOf(axis, x.shape.length);
      return {
        dtype: 'int64',
        shape: x.shape.flatMap((dimension, i) => (i === position ? (keepDims ? [1] : []) : [dimension])),
      };
    },
    flops: (inputs) => size(at(inputs, 0)),
  };
}

/** Size of one axis after a window slides over it. */
export function windowSize(length: Dim, kernel: number, stride: number, before: number, after: number): Dim {
  return addDims(divideDim(addDims(length, before + after - kernel), stride), 1);
}

function imageShape(op: string, value: Value): readonly [Dim, Dim, Dim, Dim] {
  const [b, c, h, w, ...rest] = value.shape;
  if (b === undefined || c === undefined || h === undefined || w === undefined || rest.length > 0) {
    return mismatch(
      op,
      `an image tensor [batch, channels, height, width] was expected, not ${shapeText(value.shape)}.`,
    );
  }
  return [b, c, h, w];
}

function numberDim(op: string, value: Dim): number {
  return typeof value === 'number' ? value : mismatch(op, `the dimension ${dimText(value)} must be a number.`);
}

function pool<K extends 'avgPool' | 'maxPool'>(op: K): Operation<K> {
  return {
    infer: (inputs, { kernel, stride, pads }) => {
      const x = at(inputs, 0);
      const [b, c, h, w] = imageShape(op, x);
      return {
        dtype: x.dtype,
        shape: [
          b,
          c,
          windowSize(h, kernel[0], stride, pads[0], pads[2]),
          windowSize(w, kernel[1], stride, pads[1], pads[3]),
        ],
      };
    },
    flops: (_, { kernel }, output) => multiplyDims(size(output), kernel[0] * kernel[1]),
  };
}

export const operations: { readonly [K in OpName]: Operation<K> } = {
  neg: unary(),
  exp: unary(),
  log: unary(),
  sqrt: unary(),
  abs: unary(),
  sign: unary(),
  reciprocal: unary(),
  floor: unary(),
  erf: unary(),
  sin: unary(),
  cos: unary(),
  tanh: unary(),
  sigmoid: unary(4),
  relu: unary(),
  softplus: unary(3),
  silu: unary(5),
  quickGelu: unary(6),
  gelu: unary(5),
  leakyRelu: unary(),
  clamp: unary(),
  rankMean: unary(0),
  cast: { infer: (inputs, { dtype }) => ({ dtype, shape: at(inputs, 0).shape }), flops: noFlops },
  add: binary('add'),
  sub: binary('sub'),
  mul: binary('mul'),
  div: binary('div'),
  pow: binary('pow'),
  maximum: binary('maximum'),
  minimum: binary('minimum'),
  less: binary('less', 'bool'),
  equal: binary('equal', 'bool'),
  where: {
    infer: (inputs) => {
      const [condition, a, b] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)];
      if (condition.dtype !== 'bool') mismatch('where', `the condition is ${condition.dtype}, not bool.`);
      if (a.dtype !== b.dtype) mismatch('where', `element types ${a.dtype} and ${b.dtype} differ.`);
      return {
        dtype: a.dtype,
        shape: broadcastShapes(condition.shape, broadcastShapes(a.shape, b.shape, 'where'), 'where'),
      };
    },
    flops: onePerElement,
  },
  matmul: {
    infer: (inputs, { transposeA, transposeB }) => {
      const [a, b] = [at(inputs, 0), at(inputs, 1)];
      if (a.shape.length < 2 || b.shape.length < 2)
        mismatch('matmul', `matrices were expected, not ${shapeText(a.shape)} and ${shapeText(b.shape)}.`);
      const [n, k] = transposeA ? [at(a.shape, -1), at(a.shape, -2)] : [at(a.shape, -2), at(a.shape, -1)];
      const [l, m] = transposeB ? [at(b.shape, -1), at(b.shape, -2)] : [at(b.shape, -2), at(b.shape, -1)];
      if (!equalDims(k, l))
        mismatch(
          'matmul',
          `inner dimensions ${dimText(k)} and ${dimText(l)} of ${shapeText(a.shape)} and ${shapeText(b.shape)} differ.`,
        );
      return {
        dtype: a.dtype,
        shape: [...broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), 'matmul'), n, m],
      };
    },
    flops: (inputs, { transposeA }, output) =>
      multiplyDims(multiplyDims(2, size(output)), at(at(inputs, 0).shape, transposeA ? -2 : -1)),
  },
  linear: {
    infer: (inputs) => {
      const [x, weight] = [at(inputs, 0), at(inputs, 1)];
      const [out, width, ...rest] = weight.shape;
      if (out === undefined || width === undefined || rest.some((length) => length !== 1))
        return mismatch('linear', `the weight must be [out, in] or [out, in, 1, 1], not ${shapeText(weight.shape)}.`);
      if (!equalDims(at(x.shape, -1), width))
        mismatch('linear', `the last axis of ${shapeText(x.shape)} must be ${dimText(width)}.`);
      return { dtype: x.dtype, shape: [...x.shape.slice(0, -1), out] };
    },
    flops: (inputs, _, output) => multiplyDims(multiplyDims(2, size(output)), at(at(inputs, 0).shape, -1)),
  },
  int8Linear: {
    infer: (inputs) => {
      const [x, weight] = [at(inputs, 0), at(inputs, 1)];
      if (!equalDims(at(x.shape, -1), at(weight.shape, 0)))
        mismatch('int8Linear', `the last axis of ${shapeText(x.shape)} must be ${dimText(at(weight.shape, 0))}.`);
      return { dtype: 'float32', shape: [...x.shape.slice(0, -1), at(weight.shape, 1)] };
    },
    flops: (inputs, _, output) => multiplyDims(multiplyDims(2, size(output)), at(at(inputs, 1).shape, 0)),
  },
  blockLinear: {
    infer: (inputs) => {
      const [x, weight] = [at(inputs, 0), at(inputs, 1)];
      if (!equalDims(at(x.shape, -1), multiplyDims(at(weight.shape, 1), 32)))
        mismatch(
          'blockLinear',
          `the last axis of ${shapeText(x.shape)} must be 32 times ${dimText(at(weight.shape, 1))}.`,
        );
      return { dtype: 'float32', shape: [...x.shape.slice(0, -1), at(weight.shape, 0)] };
    },
    flops: (inputs, _, output) => multiplyDims(multiplyDims(2, size(output)), at(at(inputs, 0).shape, -1)),
  },
  int8Conv2d: {
    infer: (inputs, { kernel, stride, pads }) => {
      const [x, weight] = [at(inputs, 0), at(inputs, 1)];
      const [b, h, w, c] = imageShape('int8Conv2d', x);
      const rows = multiplyDims(c, kernel[0] * kernel[1]);
      if (!equalDims(rows, at(weight.shape, 0)))
        mismatch('int8Conv2d', `a weight of ${dimText(rows)} rows was expected, not ${shapeText(weight.shape)}.`);
      const height = windowSize(h, kernel[0], stride, pads[0], pads[2]);
      const width = windowSize(w, kernel[1], stride, pads[1], pads[3]);
      return { dtype: 'float32', shape: [b, height, width, at(weight.shape, 1)] };
    },
    flops: (inputs, _, output) => multiplyDims(multiplyDims(2, size(output)), at(at(inputs, 1).shape, 0)),
  },
  int8DirectConv2d: {
    infer: (inputs, { pads }) => {
      const [x, weight] = [at(inputs, 0), at(inputs, 1)];
      const [b, h, w, c] = imageShape('int8DirectConv2d', x);
      const [out, inner, kh, kw] = imageShape('int8DirectConv2d', weight);
      if (!equalDims(c, inner))
        mismatch('int8DirectConv2d', `${dimText(c)} channels were given, and the weight takes ${dimText(inner)}.`);
      const height = windowSize(h, numberDim('int8DirectConv2d', kh), 1, pads[0], pads[2]);
      const width = windowSize(w, numberDim('int8DirectConv2d', kw), 1, pads[1], pads[3]);
      return { dtype: 'float32', shape: [b, height, width, out] };
    },
    flops: (inputs, _, output) =>
      multiplyDims(multiplyDims(2, size(output)), productOfDims(at(inputs, 1).shape.slice(1))),
  },
  conv2d: {
    infer: (inputs, { stride, pads, groups }) => {
      const [x, weight] = [at(inputs, 0), at(inputs, 1)];
      const [b, c, h, w] = imageShape('conv2d', x);
      const [out, inner, kh, kw] = imageShape('conv2d', weight);
      if (!equalDims(c, multiplyDims(inner, groups)))
        mismatch(
          'conv2d',
          `${dimText(c)} channels were given, and the weight ${shapeText(weight.shape)} takes ${dimText(multiplyDims(inner, groups))}.`,
        );
      const height = windowSize(h, numberDim('conv2d', kh), stride, pads[0], pads[2]);
      const width = windowSize(w, numberDim('conv2d', kw), stride, pads[1], pads[3]);
      return { dtype: x.dtype, shape: [b, out, height, width] };
    },
    flops: (inputs, _, output) =>
      multiplyDims(multiplyDims(2, size(output)), productOfDims(at(inputs, 1).shape.slice(1))),
  },
  convTranspose2d: {
    infer: (inputs, { groups, height, width }) => {
      const [x, weight] = [at(inputs, 0), at(inputs, 1)];
      return { dtype: x.dtype, shape: [at(x.shape, 0), multiplyDims(at(weight.shape, 1), groups), height, width] };
    },
    flops: (inputs) => multiplyDims(multiplyDims(2, size(at(inputs, 0))), productOfDims(at(inputs, 1).shape.slice(1))),
  },
  conv2dWeightGradient: {
    infer: (inputs, { kernel, groups }) => {
      const [x, dy] = [at(inputs, 0), at(inputs, 1)];
      return { dtype: x.dtype, shape: [at(dy.shape, 1), divideDim(at(x.shape, 1), groups), kernel[0], kernel[1]] };
    },
    flops: (inputs, _, output) =>
      multiplyDims(multiplyDims(2, size(at(inputs, 1))), productOfDims(output.shape.slice(1))),
  },
  attention: {
    infer: (inputs, { heads }) => {
      const [q, k, v] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)];
      for (const x of [q, k, v])
        if (x.shape.length !== 3)
          mismatch('attention', `[batch, tokens, width] was expected, not ${shapeText(x.shape)}.`);
      if (!equalDims(at(q.shape, 2), at(k.shape, 2)))
        mismatch('attention', `queries ${shapeText(q.shape)} and keys ${shapeText(k.shape)} differ in width.`);
      if (!equalDims(at(k.shape, 1), at(v.shape, 1)))
        mismatch('attention', `keys ${shapeText(k.shape)} and values ${shapeText(v.shape)} differ in tokens.`);
      for (const x of [q, v])
        if (numberDim('attention', at(x.shape, 2)) % heads !== 0)
          mismatch('attention', `a width of ${dimText(at(x.shape, 2))} does not split into ${heads} heads.`);
      return { dtype: q.dtype, shape: [at(q.shape, 0), at(q.shape, 1), at(v.shape, 2)] };
    },
    flops: (inputs) => {
      const [q, k, v] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)];
      return multiplyDims(
        2,
        multiplyDims(
          multiplyDims(multiplyDims(at(q.shape, 0), at(q.shape, 1)), at(k.shape, 1)),
          addDims(at(q.shape, 2), at(v.shape, 2)),
        ),
      );
    },
  },
  groupNorm: unary(6),
  groupNormLast: unary(6),
  layerNorm: unary(6),
  softmax: unary(4),
  sum: reduce(),
  mean: reduce(),
  max: reduce(),
  argmax: argReduce(),
  argmin: argReduce(),
  reshape: {
    infer: (inputs, { shape }) => {
      const x = at(inputs, 0);
      if (!equalDims(productOfDims(x.shape), productOfDims(shape)))
        mismatch('reshape', `${shapeText(x.shape)} has not as many elements as ${shapeText(shape)}.`);
      return { dtype: x.dtype, shape };
    },
    flops: noFlops,
  },
  transpose: {
    infer: (inputs, { permutation }) => {
      const x = at(inputs, 0);
      if (
        [...permutation].sort((a, b) => a - b).some((axis, i) => axis !== i) ||
        permutation.length !== x.shape.length
      ) {
        mismatch('transpose', `[${permutation.join(', ')}] is not a permutation of the axes of ${shapeText(x.shape)}.`);
      }
      return { dtype: x.dtype, shape: permutation.map((axis) => at(x.shape, axis)) };
    },
    flops: noFlops,
  },
  concat: {
    infer: (inputs, { axis }) => {
      const first = at(inputs, 0);
      for (const other of inputs) {
        if (other.dtype !== first.dtype) mismatch('concat', `element types ${first.dtype} and ${other.dtype} differ.`);
        const fits =
          other.shape.length === first.shape.length &&
          other.shape.every((length, i) => i === axis || equalDims(length, at(first.shape, i)));
        if (!fits)
          mismatch(
            'concat',
            `${shapeText(first.shape)} and ${shapeText(other.shape)} differ in another axis than ${axis}.`,
          );
      }
      const total = inputs.reduce<Dim>((sum, value) => addDims(sum, at(value.shape, axis)), 0);
      return { dtype: first.dtype, shape: first.shape.map((length, i) => (i === axis ? total : length)) };
    },
    flops: noFlops,
  },
  slice: {
    infer: (inputs, { axis, start, end, step }) => {
      const x = at(inputs, 0);
      const length = divideDim(addDims(subtractDims(end, start), step - 1), step);
      return { dtype: x.dtype, shape: x.shape.map((size, i) => (i === axis ? length : size)) };
    },
    flops: noFlops,
  },
  pad: {
    infer: (inputs, { before, after }) => {
      const x = at(inputs, 0);
      return {
        dtype: x.dtype,
        shape: x.shape.map((length, axis) => addDims(length, addDims(at(before, axis), at(after, axis)))),
      };
    },
    flops: noFlops,
  },
  expand: {
    infer: (inputs, { shape }) => {
      const x = at(inputs, 0);
      const result = broadcastShapes(x.shape, shape, 'expand');
      if (!result.every((length, i) => equalDims(length, at(shape, i))))
        mismatch('expand', `${shapeText(x.shape)} does not expand to ${shapeText(shape)}.`);
      return { dtype: x.dtype, shape };
    },
    flops: noFlops,
  },
  range: { infer: (_, { length }) => ({ dtype: 'int64', shape: [length] }), flops: noFlops },
  dimension: { infer: () => ({ dtype: 'float32', shape: [] }), flops: noFlops },
  stopGradient: unary(0),
  barrier: unary(0),
  gather: {
    infer: (inputs) => {
      const [table, ids] = [at(inputs, 0), at(inputs, 1)];
      if (ids.dtype !== 'int64') mismatch('gather', `ids are ${ids.dtype}, not int64.`);
      return { dtype: table.dtype, shape: [...ids.shape, ...table.shape.slice(1)] };
    },
    flops: noFlops,
  },
  scatterAdd: {
    infer: (inputs, { size: rows }) => {
      const [ids, values] = [at(inputs, 0), at(inputs, 1)];
      return { dtype: values.dtype, shape: [rows, ...values.shape.slice(ids.shape.length)] };
    },
    flops: (inputs) => size(at(inputs, 1)),
  },
  oneHot: {
    infer: (inputs, { depth }) => ({ dtype: 'float32', shape: [...at(inputs, 0).shape, depth] }),
    flops: noFlops,
  },
  upsampleNearest: {
    infer: (inputs, { scale }) => {
      const x = at(inputs, 0);
      const [b, c, h, w] = imageShape('upsampleNearest', x);
      return { dtype: x.dtype, shape: [b, c, multiplyDims(h, scale), multiplyDims(w, scale)] };
    },
    flops: noFlops,
  },
  resize: {
    infer: (inputs, { scale }) => {
      const x = at(inputs, 0);
      const [b, c, h, w] = imageShape('resize', x);
      const scaled = (length: Dim): Dim => {
        if (scale >= 1 && Number.isInteger(scale)) return multiplyDims(length, scale);
        if (Number.isInteger(1 / scale)) return divideDim(length, 1 / scale);
        return Math.floor(numberDim('resize', length) * scale);
      };
      return { dtype: x.dtype, shape: [b, c, scaled(h), scaled(w)] };
    },
    flops: onePerElement,
  },
  avgPool: pool('avgPool'),
  maxPool: pool('maxPool'),
};
