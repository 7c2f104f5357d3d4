/** The operations as functions on symbolic tensors: the language networks are written in. Names and semantics follow PyTorch. */

import { StableDiffusionError } from '../errors.ts';
import { convert } from '../tensor/convert.ts';
import type { DType } from '../tensor/dtype.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { type Dim, exactQuotient, productOfDims, shapeText } from './dim.ts';
import { type Attributes, axisOf, type OpName, type Pads } from './operations.ts';
import type { Sym } from './trace.ts';

/** A tensor or a number, which becomes a scalar of the other operand's element type. */
export type Operand = Sym | number;

type UnaryName =
  | 'neg'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'abs'
  | 'sign'
  | 'reciprocal'
  | 'floor'
  | 'erf'
  | 'sin'
  | 'cos'
  | 'tanh'
  | 'sigmoid'
  | 'relu'
  | 'softplus'
  | 'silu'
  | 'quickGelu'
  | 'gelu'
  | 'rankMean'
  | 'stopGradient';
type BinaryName = 'add' | 'sub' | 'mul' | 'div' | 'pow' | 'maximum' | 'minimum' | 'less' | 'equal';

function apply<K extends OpName>(op: K, inputs: readonly Sym[], attributes: Attributes[K]): Sym {
  const [first] = inputs;
  if (!first) throw new StableDiffusionError('invalid-argument', `${op} was given no tensor.`);
  return first.builder.apply(op, inputs, attributes);
}

const unary =
  (op: UnaryName) =>
  (x: Sym): Sym =>
    apply(op, [x], {});

function operands(a: Operand, b: Operand): [Sym, Sym] {
  if (typeof a !== 'number') return [a, typeof b === 'number' ? scalar(a, b) : b];
  if (typeof b !== 'number') return [scalar(b, a), b];
  throw new StableDiffusionError('invalid-argument', 'Two numbers were given where one operand must be a tensor.');
}

const binary =
  (op: BinaryName) =>
  (a: Operand, b: Operand): Sym =>
    apply(op, operands(a, b), {});

/** A constant tensor in the graph of `like`. */
export function constant(like: Sym, value: Tensor): Sym {
  return like.builder.constant(value);
}

/** A number as a scalar of the element type of `like`. */
export function scalar(like: Sym, value: number): Sym {
  return like.builder.constant(convert(float32([], [value]), like.dtype));
}

export const neg = unary('neg');
export const exp = unary('exp');
export const log = unary('log');
export const sqrt = unary('sqrt');
export const abs = unary('abs');
export const sign = unary('sign');
export const reciprocal = unary('reciprocal');
export const floor = unary('floor');
/** Mean over the ranks that train together. */
export const rankMean = unary('rankMean');
export const erf = unary('erf');
export const sin = unary('sin');
export const cos = unary('cos');
export const tanh = unary('tanh');
export const sigmoid = unary('sigmoid');
export const relu = unary('relu');
export const softplus = unary('softplus');
export const silu = unary('silu');
export const quickGelu = unary('quickGelu');
export const gelu = unary('gelu');

export const add = binary('add');
export const sub = binary('sub');
export const mul = binary('mul');
export const div = binary('div');
export const pow = binary('pow');
export const maximum = binary('maximum');
export const minimum = binary('minimum');
export const less = binary('less');
export const equal = binary('equal');

export function leakyRelu(x: Sym, slope: number): Sym {
  return apply('leakyRelu', [x], { slope });
}

export function clamp(x: Sym, min: number, max: number): Sym {
  return apply('clamp', [x], { min, max });
}

export function cast(x: Sym, dtype: DType): Sym {
  return x.dtype === dtype ? x : apply('cast', [x], { dtype });
}

/** condition ? a : b, element by element. */
export function where(condition: Sym, a: Operand, b: Operand): Sym {
  return apply('where', [condition, ...operands(a, b)], {});
}

export function matmul(
  a: Sym,
  b: Sym,
  options: { readonly transposeA?: boolean; readonly transposeB?: boolean } = {},
): Sym {
  return apply('matmul', [a, b], { transposeA: options.transposeA ?? false, transposeB: options.transposeB ?? false });
}

/** x · weightᵀ + bias with weight [out, in] or [out, in, 1, 1]. */
export function linear(x: Sym, weight: Sym, bias?: Sym): Sym {
  return apply('linear', bias ? [x, weight, bias] : [x, weight], {});
}

export interface Int8Parameters {
  readonly weight: Sym;
  readonly scale: Sym;
  readonly bias?: Sym | undefined;
}

/** A linear layer in 8 bits: weight int8 [in, out], scale float32 [out]. */
export function int8Linear(
  x: Sym,
  { weight, scale, bias }: Int8Parameters,
  { range }: Attributes['int8Linear'] = { range: 'tensor' },
): Sym {
  return apply('int8Linear', bias ? [x, weight, scale, bias] : [x, weight, scale], { range });
}

/** A linear layer whose weight is in blocks: weight uint8 [out, in / 32, bytes], scale float32 [out, in / 32]. */
export function blockLinear(x: Sym, { weight, scale, bias }: Int8Parameters, bits: 4 | 8): Sym {
  return apply('blockLinear', bias ? [x, weight, scale, bias] : [x, weight, scale], { bits });
}

/** A convolution in 8 bits with channels last: x [b, h, w, in], weight int8 [kh · kw · in, out], scale float32 [out]. */
export function int8Conv2d(x: Sym, { weight, scale, bias }: Int8Parameters, window: Attributes['int8Conv2d']): Sym {
  return apply('int8Conv2d', bias ? [x, weight, scale, bias] : [x, weight, scale], window);
}

/** A convolution in 8 bits with channels last, whose result is rounded too: x [b, h, w, in], weight int8 [out, in, kh, kw], scale float32 [out]. */
export function int8DirectConv2d(
  x: Sym,
  { weight, scale, bias }: Int8Parameters,
  attributes: Attributes['int8DirectConv2d'],
): Sym {
  return apply('int8DirectConv2d', bias ? [x, weight, scale, bias] : [x, weight, scale], attributes);
}

export interface Conv2dOptions {
  readonly stride?: number;
  /** One value for all four sides, or [top, left, bottom, right]. */
  readonly padding?: number | Pads;
  readonly groups?: number;
}

function pads(padding: number | Pads | undefined): Pads {
  if (padding === undefined) return [0, 0, 0, 0];
  return typeof padding === 'number' ? [padding, padding, padding, padding] : padding;
}

export function conv2d(x: Sym, weight: Sym, bias?: Sym, options: Conv2dOptions = {}): Sym {
  const attributes = { stride: options.stride ?? 1, pads: pads(options.padding), groups: options.groups ?? 1 };
  return apply('conv2d', bias ? [x, weight, bias] : [x, weight], attributes);
}

export function convTranspose2d(x: Sym, weight: Sym, attributes: Attributes['convTranspose2d']): Sym {
  return apply('convTranspose2d', [x, weight], attributes);
}

export function conv2dWeightGradient(x: Sym, gradient: Sym, attributes: Attributes['conv2dWeightGradient']): Sym {
  return apply('conv2dWeightGradient', [x, gradient], attributes);
}

export interface AttentionOptions {
  readonly heads: number;
  /** Factor on the scores; by default 1/sqrt(width of a head). */
  readonly scale?: number;
  /** Each token attends to itself and those before it. */
  readonly causal?: boolean;
  /** Added to the scores, [batch or 1, heads or 1, queries, keys]. */
  readonly mask?: Sym;
}

/** Multi-head attention over contiguous slices of the last axis: q [b, n, h·d], k [b, m, h·d], v [b, m, h·e] → [b, n, h·e]. */
export function attention(q: Sym, k: Sym, v: Sym, options: AttentionOptions): Sym {
  const width = Number(q.shape[2]);
  const attributes = {
    heads: options.heads,
    scale: options.scale ?? 1 / Math.sqrt(width / options.heads),
    causal: options.causal ?? false,
  };
  return apply('attention', options.mask ? [q, k, v, options.mask] : [q, k, v], attributes);
}

/** Group normalisation over [b, c, ...] (Wu & He 2018); weight and bias are [c]. */
export function groupNorm(
  x: Sym,
  weight: Sym,
  bias: Sym,
  options: { readonly groups: number; readonly epsilon: number },
): Sym {
  return apply('groupNorm', [x, weight, bias], options);
}

/** Group normalisation over [b, h, w, c]. */
export function groupNormLast(x: Sym, weight: Sym, bias: Sym, options: Attributes['groupNormLast']): Sym {
  return apply('groupNormLast', [x, weight, bias], options);
}

/** Layer normalisation over the last axis (Ba et al. 2016). */
export function layerNorm(x: Sym, weight: Sym, bias: Sym, options: { readonly epsilon: number }): Sym {
  return apply('layerNorm', [x, weight, bias], options);
}

export function softmax(x: Sym, axis: number): Sym {
  return apply('softmax', [x], { axis: axisOf(axis, x.shape.length) });
}

export interface ReduceOptions {
  readonly keepDims?: boolean;
}

const reduction =
  (op: 'sum' | 'mean' | 'max') =>
  (x: Sym, axes?: readonly number[], options: ReduceOptions = {}): Sym =>
    apply(op, [x], {
      axes: (axes ?? x.shape.map((_, i) => i)).map((axis) => axisOf(axis, x.shape.length)),
      keepDims: options.keepDims ?? false,
    });

/** Sum over axes (all by default). */
export const sum = reduction('sum');
/** Mean over axes (all by default). */
export const mean = reduction('mean');
/** Largest element over axes (all by default). */
export const max = reduction('max');

export function argmax(x: Sym, axis: number, options: ReduceOptions = {}): Sym {
  return apply('argmax', [x], { axis: axisOf(axis, x.shape.length), keepDims: options.keepDims ?? false });
}

export function argmin(x: Sym, axis: number, options: ReduceOptions = {}): Sym {
  return apply('argmin', [x], { axis: axisOf(axis, x.shape.length), keepDims: options.keepDims ?? false });
}

/** Another shape with the same elements; one dimension may be -1. */
export function reshape(x: Sym, shape: readonly Dim[]): Sym {
  const hole = shape.indexOf(-1);
  if (hole < 0) return apply('reshape', [x], { shape });
  const rest = shape.filter((_, i) => i !== hole);
  const missing = exactQuotient(productOfDims(x.shape), productOfDims(rest));
  if (missing === undefined)
    throw new StableDiffusionError(
      'shape-mismatch',
      `reshape: ${shapeText(x.shape)} does not divide into ${shapeText(shape)}.`,
    );
  return apply('reshape', [x], { shape: shape.map((size, i) => (i === hole ? missing : size)) });
}

export function transpose(x: Sym, permutation: readonly number[]): Sym {
  return permutation.every((axis, i) => axis === i) ? x : apply('transpose', [x], { permutation });
}

export function concat(values: readonly Sym[], axis: number): Sym {
  const [first] = values;
  if (first && values.length === 1) return first;
  return apply('concat', values, { axis: axisOf(axis, first?.shape.length ?? 0) });
}

/** Elements start … end - 1 of an axis. */
export function slice(x: Sym, axis: number, start: Dim, end: Dim, step = 1): Sym {
  return apply('slice', [x], { axis: axisOf(axis, x.shape.length), start, end, step });
}

/** Splits an axis into parts of the given lengths. */
export function split(x: Sym, axis: number, lengths: readonly number[]): Sym[] {
  let start = 0;
  return lengths.map((length) => {
    const part = slice(x, axis, start, start + length);
    start += length;
    return part;
  });
}

/** Splits an axis into `count` equal parts. */
export function chunk(x: Sym, axis: number, count: number): Sym[] {
  const length = x.shape[axisOf(axis, x.shape.length)];
  if (typeof length !== 'number' || length % count !== 0)
    throw new StableDiffusionError(
      'shape-mismatch',
      `chunk: axis ${axis} of ${shapeText(x.shape)} does not split into ${count}.`,
    );
  return split(
    x,
    axis,
    Array.from({ length: count }, () => length / count),
  );
}

export function pad(x: Sym, before: readonly Dim[], after: readonly Dim[], value = 0): Sym {
  return apply('pad', [x], { before, after, value });
}

export function expand(x: Sym, shape: readonly Dim[]): Sym {
  return apply('expand', [x], { shape });
}

/** 0, 1, … length - 1 as int64, in the graph of `like`. */
export function range(like: Sym, length: Dim): Sym {
  return like.builder.apply('range', [], { length });
}

/** A size as a number the graph calculates with: a constant where it is known, else read from the inputs when the graph runs. */
export function dimension(like: Sym, size: Dim): Sym {
  return typeof size === 'number'
    ? scalar(like, size)
    : cast(like.builder.apply('dimension', [], { size }), like.dtype);
}

/** `x` as a constant to the gradient (PyTorch's `detach`). */
export const stopGradient = unary('stopGradient');

/** `x`, available only once `after` has been calculated. */
export function barrier(x: Sym, after: Sym): Sym {
  return apply('barrier', [x, after], {});
}

/** Rows of `table` by int64 ids. */
export function gather(table: Sym, ids: Sym): Sym {
  return apply('gather', [table, ids], {});
}

export function scatterAdd(ids: Sym, rows: Sym, size: Dim): Sym {
  return apply('scatterAdd', [ids, rows], { size });
}

export function oneHot(ids: Sym, depth: number): Sym {
  return apply('oneHot', [ids], { depth });
}

export function upsampleNearest(x: Sym, scale: number): Sym {
  return apply('upsampleNearest', [x], { scale });
}

export function resize(x: Sym, mode: Attributes['resize']['mode'], scale: number): Sym {
  return apply('resize', [x], { mode, scale });
}

export interface PoolOptions {
  readonly kernel: number;
  /** By default the kernel's size. */
  readonly stride?: number;
  readonly padding?: number | Pads;
}

function window(options: PoolOptions): Attributes['avgPool'] {
  return {
    kernel: [options.kernel, options.kernel],
    stride: options.stride ?? options.kernel,
    pads: pads(options.padding),
  };
}

export function avgPool(x: Sym, options: PoolOptions): Sym {
  return apply('avgPool', [x], window(options));
}

export function maxPool(x: Sym, options: PoolOptions): Sym {
  return apply('maxPool', [x], window(options));
}
