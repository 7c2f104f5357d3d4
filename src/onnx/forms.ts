/**
 * The ONNX form of every operation: which node or nodes of ONNX (opset 20) and ONNX Runtime's contrib domain compute it.
 * Where there are several ways, the one that was measured fastest on the CPU provider is here.
 */

import { StableDiffusionError } from '../errors.ts';
import { addDims, multiplyDims, productOfDims, subtractDims } from '../graph/dim.ts';
import type { Value } from '../graph/graph.ts';
import type { Attributes, OpName, Pads } from '../graph/operations.ts';
import { float32, int64 } from '../tensor/tensor.ts';
import type { Emitter, NodeOptions } from './emitter.ts';
import { weightGradient } from './weight-gradient.ts';

/** Emits the operation and returns the name of its output, which must be `options.output`. */
export type Form<K extends OpName> = (
  e: Emitter,
  inputs: readonly Value[],
  attributes: Attributes[K],
  output: Value,
  options: NodeOptions,
) => string;

const microsoft = 'com.microsoft';

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new StableDiffusionError('invalid-argument', `An operation lacks its input ${index}.`);
  return item;
}

const names = (e: Emitter, inputs: readonly Value[]): string[] => inputs.map((input) => e.name(input));

/** One ONNX node with the operation's inputs as they are. */
function direct<K extends OpName>(op: string, attributes: Parameters<Emitter['node']>[2] = {}, domain = ''): Form<K> {
  return (e, inputs, _, __, options) => e.node(op, names(e, inputs), attributes, { ...options, domain });
}

function reduce<K extends 'sum' | 'mean' | 'max'>(op: string): Form<K> {
  return (e, inputs, { axes, keepDims }, _, options) =>
    e.node(op, [e.name(at(inputs, 0)), e.integers(axes)], { keepdims: keepDims ? 1 : 0 }, options);
}

function argReduce<K extends 'argmax' | 'argmin'>(op: string): Form<K> {
  return (e, inputs, { axis, keepDims }, _, options) =>
    e.node(op, names(e, inputs), { axis, keepdims: keepDims ? 1 : 0, select_last_index: 0 }, options);
}

const sizes = (pads: Pads): readonly number[] => [...pads];

function numberOf(value: unknown, what: string): number {
  if (typeof value !== 'number')
    throw new StableDiffusionError('shape-mismatch', `${what} must be known when the graph is compiled.`);
  return value;
}

/** The images of a batch side by side as channels: how a gradient to the weight becomes a convolution. */
const swapBatchAndChannels = { perm: [1, 0, 2, 3] };

export const forms: { readonly [K in OpName]: Form<K> } = {
  neg: direct('Neg'),
  exp: direct('Exp'),
  log: direct('Log'),
  sqrt: direct('Sqrt'),
  abs: direct('Abs'),
  sign: direct('Sign'),
  reciprocal: direct('Reciprocal'),
  floor: direct('Floor'),
  erf: direct('Erf'),
  sin: direct('Sin'),
  cos: direct('Cos'),
  tanh: direct('Tanh'),
  sigmoid: direct('Sigmoid'),
  relu: direct('Relu'),
  softplus: direct('Softplus'),
  silu: direct('QuickGelu', { alpha: { float: 1 } }, microsoft),
  quickGelu: direct('QuickGelu', { alpha: { float: 1.702 } }, microsoft),
  gelu: direct('Gelu', {}, microsoft),
  leakyRelu: (e, inputs, { slope }, _, options) =>
    e.node('LeakyRelu', names(e, inputs), { alpha: { float: slope } }, options),
  clamp: (e, inputs, { min, max }, _, options) =>
    e.node('Clip', [e.name(at(inputs, 0)), e.scalar(min), e.scalar(max)], {}, options),
  cast: (e, inputs, { dtype }, output, options) => {
    const code = { float32: 1, int32: 6, int64: 7, bool: 9, float16: 10, float64: 11 } as const;
    const target = e.dtype(output);
    if (!(target in code)) throw new StableDiffusionError('invalid-argument', `A graph cannot cast to ${dtype}.`);
    return e.node('Cast', names(e, inputs), { to: code[target as keyof typeof code] }, options);
  },
  add: direct('Add'),
  sub: direct('Sub'),
  mul: direct('Mul'),
  div: direct('Div'),
  pow: direct('Pow'),
  maximum: direct('Max'),
  minimum: direct('Min'),
  less: direct('Less'),
  equal: direct('Equal'),
  where: direct('Where'),
  matmul: (e, inputs, { transposeA, transposeB }, _, options) => {
    if (!transposeA && !transposeB) return e.node('MatMul', names(e, inputs), {}, options);
    const swapped = (value: Value): string => {
      const rank = value.shape.length;
      return e.node('Transpose', [e.name(value)], {
        perm: Array.from({ length: rank }, (_, i) => (i === rank - 2 ? rank - 1 : i === rank - 1 ? rank - 2 : i)),
      });
    };
    const [a, b] = [at(inputs, 0), at(inputs, 1)];
    // Rows times rows: a row made a column by Transpose would be slow to multiply by. In training, most transposed operands are read as they are, too.
    const rows = transposeB && !transposeA && b.shape.at(-2) === 1;
    if ((rows || e.imageBlock !== undefined) && e.float === 'float32') {
      return e.node(
        'FusedMatMul',
        names(e, inputs),
        { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0 },
        { ...options, domain: microsoft },
      );
    }
    return e.node('MatMul', [transposeA ? swapped(a) : e.name(a), transposeB ? swapped(b) : e.name(b)], {}, options);
  },
  linear: (e, inputs, _, output, options) => {
    const [x, weight, bias] = [at(inputs, 0), at(inputs, 1), inputs[2]];
    return linearForm(e, x, [e.name(weight), ...(bias ? [e.name(bias)] : [])], output, options);
  },
  conv2d: (e, inputs, { stride, pads, groups }, _, options) => {
    const kernel = at(inputs, 1)
      .shape.slice(2)
      .map((size) => numberOf(size, 'A kernel size'));
    return e.node(
      'Conv',
      names(e, inputs),
      { kernel_shape: kernel, strides: [stride, stride], pads: sizes(pads), group: groups },
      options,
    );
  },
  convTranspose2d: (e, inputs, { stride, pads, groups, height, width }, _, options) => {
    const [x, weight] = [at(inputs, 0), at(inputs, 1)];
    const kernel = weight.shape.slice(2).map((size) => numberOf(size, 'A kernel size'));
    const [kh, kw] = [kernel[0] ?? 1, kernel[1] ?? 1];
    if (stride === 1 && groups === 1) {
      // A convolution with the kernel turned by 180° and its two channel axes swapped: faster, because it needs no scattered sums.
      const turned =
        kh * kw === 1
          ? e.name(weight)
          : e.node('Slice', [
              e.name(weight),
              e.integers([-1, -1]),
              e.integers([-1 - kh, -1 - kw]),
              e.integers([2, 3]),
              e.integers([-1, -1]),
            ]);
      const swapped = e.node('Transpose', [turned], swapBatchAndChannels);
      const around = [kh - 1 - pads[0], kw - 1 - pads[1], kh - 1 - pads[2], kw - 1 - pads[3]];
      if (around.every((size) => size >= 0))
        return e.node('Conv', [e.name(x), swapped], { kernel_shape: kernel, pads: around }, options);
    }
    const missing = [height, width].map((size, i) => {
      const covered = addDims(
        multiplyDims(subtractDims(x.shape[2 + i] ?? 1, 1), stride),
        (kernel[i] ?? 0) - (pads[i] ?? 0) - (pads[i + 2] ?? 0),
      );
      return numberOf(subtractDims(size, covered), 'What a strided convolution leaves over of an image');
    });
    const attributes = {
      kernel_shape: kernel,
      strides: [stride, stride],
      pads: sizes(pads),
      group: groups,
      output_padding: missing,
    };
    return e.node('ConvTranspose', names(e, inputs), attributes, options);
  },
  conv2dWeightGradient: (e, inputs, window, _, options) =>
    weightGradient(e, at(inputs, 0), at(inputs, 1), window, options),
  attention: (e, inputs, { heads, scale, causal }, _, options) => {
    const [q, k, v, mask] = names(e, inputs);
    const operands = [q, k, v, ...(mask === undefined ? [] : ['', '', mask])].map((name) => name ?? '');
    return e.node(
      'MultiHeadAttention',
      operands,
      { num_heads: heads, scale: { float: scale }, unidirectional: causal ? 1 : 0 },
      { ...options, domain: microsoft },
    );
  },
  groupNorm: (e, inputs, { groups, epsilon }, output, options) => {
    const [x, weight, bias] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)];
    const channels = numberOf(x.shape[1], 'The number of channels');
    const grouped = e.node('Reshape', [e.name(x), e.integers([0, groups, -1])]);
    const ones = e.constant(float32([groups], new Float32Array(groups).fill(1)));
    const none = e.constant(float32([groups], new Float32Array(groups)));
    const normal = e.node('InstanceNormalization', [grouped, ones, none], { epsilon: { float: epsilon } });
    const back = e.node('Reshape', [normal, e.shape(output.shape)]);
    const perChannel = [channels, ...x.shape.slice(2).map(() => 1)];
    const column = (value: Value): string =>
      e.isParameter(value)
        ? e.parameter(value, perChannel)
        : e.node('Reshape', [e.name(value), e.integers(perChannel)]);
    return e.node('Add', [e.node('Mul', [back, column(weight)]), column(bias)], {}, options);
  },
  layerNorm: (e, inputs, { epsilon }, _, options) =>
    e.node('LayerNormalization', names(e, inputs), { axis: -1, epsilon: { float: epsilon } }, options),
  softmax: (e, inputs, { axis }, _, options) => e.node('Softmax', names(e, inputs), { axis }, options),
  sum: (e, inputs, attributes, output, options) => {
    const x = at(inputs, 0);
    const rows = x.shape.slice(0, attributes.axes.length);
    const leading = attributes.axes.length < x.shape.length && attributes.axes.every((axis, i) => axis === i);
    if (
      !leading ||
      attributes.keepDims ||
      e.imageBlock === undefined ||
      x.dtype !== 'float32' ||
      !x.shape.every((size) => typeof size === 'number')
    )
      return reduce<'sum'>('ReduceSum')(e, inputs, attributes, output, options);
    // Sums of columns: in training, as a product with ones, which takes half the time.
    const count = Number(productOfDims(rows));
    const product = e.node('MatMul', [
      e.filled(1, [1, count]),
      e.node('Reshape', [e.name(x), e.integers([count, -1])]),
    ]);
    return e.node('Reshape', [product, e.shape(output.shape)], {}, options);
  },
  mean: reduce('ReduceMean'),
  max: reduce('ReduceMax'),
  argmax: argReduce('ArgMax'),
  argmin: argReduce('ArgMin'),
  reshape: (e, inputs, { shape }, _, options) => {
    const x = at(inputs, 0);
    return e.node('Reshape', [e.name(x), e.reshapeTarget(x.shape, shape)], {}, options);
  },
  transpose: (e, inputs, { permutation }, _, options) =>
    e.node('Transpose', names(e, inputs), { perm: permutation }, options),
  concat: (e, inputs, { axis }, _, options) => e.node('Concat', names(e, inputs), { axis }, options),
  slice: (e, inputs, { axis, start, end, step }, _, options) =>
    e.node(
      'Slice',
      [e.name(at(inputs, 0)), e.shape([start]), e.shape([end]), e.integers([axis]), e.integers([step])],
      {},
      options,
    ),
  pad: (e, inputs, { before, after, value }, _, options) =>
    e.node('Pad', [e.name(at(inputs, 0)), e.shape([...before, ...after]), e.scalar(value)], {}, options),
  expand: (e, inputs, { shape }, _, options) => e.node('Expand', [e.name(at(inputs, 0)), e.shape(shape)], {}, options),
  range: (e, _, { length }, __, options) =>
    e.node(
      'Range',
      [e.constant(int64([], [0])), e.node('Squeeze', [e.shape([length])]), e.constant(int64([], [1]))],
      {},
      options,
    ),
  dimension: (e, _, { size }, __, options) =>
    e.node('Squeeze', [e.node('Cast', [e.shape([size])], { to: e.float === 'float32' ? 1 : 10 })], {}, options),
  stopGradient: direct('Identity'),
  // A reshape to the same shape, whose target depends on an element of the second input: no copy, and nothing the runtime could merge or move.
  barrier: (e, inputs, _, output, options) => {
    const [x, after] = [at(inputs, 0), at(inputs, 1)];
    const none = after.shape.map(() => 0);
    const first =
      none.length === 0
        ? e.name(after)
        : e.node('Slice', [
            e.name(after),
            e.integers(none),
            e.integers(none.map(() => 1)),
            e.integers(none.map((__, axis) => axis)),
          ]);
    const zero = e.node('Mul', [
      e.node('Cast', [e.node('Reshape', [first, e.integers([1])])], { to: 7 }),
      e.integers([0]),
    ]);
    return e.node('Reshape', [e.name(x), e.node('Add', [e.shape(output.shape), zero])], {}, options);
  },
  gather: direct('Gather', { axis: 0 }),
  // ScatterElements adds one element after the other; ScatterND adds in parallel, in an order that changes from run to run.
  scatterAdd: (e, inputs, _, output, options) => {
    const [ids, rows] = [at(inputs, 0), at(inputs, 1)];
    const zero = e.node('Expand', [e.scalar(0), e.shape(output.shape)]);
    const count = productOfDims(ids.shape);
    const rest = rows.shape.slice(ids.shape.length);
    const flat = e.node('Reshape', [e.name(rows), e.shape([count, ...rest])]);
    const column = e.node('Reshape', [e.name(ids), e.shape([count, ...rest.map(() => 1)])]);
    const index = e.node('Expand', [column, e.shape([count, ...rest])]);
    return e.node('ScatterElements', [zero, index, flat], { axis: 0, reduction: 'add' }, options);
  },
  oneHot: (e, inputs, { depth }, _, options) =>
    e.node(
      'OneHot',
      [e.name(at(inputs, 0)), e.integers([depth]), e.constant(float32([2], [0, 1]))],
      { axis: -1 },
      options,
    ),
  upsampleNearest: (e, inputs, { scale }, _, options) =>
    resample(
      e,
      at(inputs, 0),
      scale,
      { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
      options,
    ),
  resize: (e, inputs, { mode, scale }, _, options) => {
    const attributes = {
      nearest: { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
      bilinear: { mode: 'linear', coordinate_transformation_mode: 'half_pixel' },
      bicubic: { mode: 'cubic', coordinate_transformation_mode: 'half_pixel', cubic_coeff_a: { float: -0.75 } },
    } as const;
    return resample(e, at(inputs, 0), scale, attributes[mode], options);
  },
  avgPool: (e, inputs, { kernel, stride, pads }, _, options) =>
    e.node(
      'AveragePool',
      names(e, inputs),
      { kernel_shape: kernel, strides: [stride, stride], pads: sizes(pads), count_include_pad: 1 },
      options,
    ),
  maxPool: (e, inputs, { kernel, stride, pads }, _, options) =>
    e.node(
      'MaxPool',
      names(e, inputs),
      { kernel_shape: kernel, strides: [stride, stride], pads: sizes(pads) },
      options,
    ),
};

/** x times a matrix, and its bias, that are in the model under `names`. */
export function linearForm(
  e: Emitter,
  x: Value,
  names: readonly string[],
  output: Value,
  options: NodeOptions,
): string {
  if (x.shape.length === 2) return e.node('Gemm', [e.name(x), ...names], { transB: 1 }, options);
  const width = numberOf(x.shape.at(-1), 'The width of a linear layer');
  const rows = e.node('Reshape', [e.name(x), e.integers([-1, width])]);
  return e.node('Reshape', [e.node('Gemm', [rows, ...names], { transB: 1 }), e.shape(output.shape)], {}, options);
}

function resample(
  e: Emitter,
  x: Value,
  scale: number,
  attributes: Parameters<Emitter['node']>[2],
  options: NodeOptions,
): string {
  const float = e.constant(float32([4], [1, 1, scale, scale]));
  // Resize takes its scales as float32 whatever the image's element type.
  const scales = e.float === 'float32' ? float : e.node('Cast', [float], { to: 1 });
  return e.node('Resize', [e.name(x), '', scales], attributes, options);
}
