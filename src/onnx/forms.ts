/**
 * The ONNX form of every operation: which node or nodes of ONNX (opset 20) and ONNX Runtime's contrib domain compute it.
 * If there are several forms, this file has the one measured fastest on the CPU provider.
 */

import { StableDiffusionError } from '../errors.ts';
import { productOfDims } from '../graph/dim.ts';
import type { Value } from '../graph/graph.ts';
import type { OpName } from '../graph/operations.ts';
import { float32, int64 } from '../tensor/tensor.ts';
import { conv2d, convTranspose2d } from './convolutions.ts';
import type { Emitter } from './emitter.ts';
import { type Form, inputAt, namesOf, numberOf } from './form.ts';
import { groupNormLast } from './group-norm-last.ts';
import { blockLinear } from './block-linear.ts';
import { int8Linear } from './int8.ts';
import { int8Conv2d, int8DirectConv2d } from './int8-convolutions.ts';
import type { Lowering } from './lowering.ts';
import { microsoftDomain as microsoft, type NodeOptions, type OnnxAttributes } from './onnx-builder.ts';
import { linear, matmul } from './products.ts';
import { weightGradient } from './weight-gradient.ts';

/** One ONNX node with the operation's inputs unchanged. */
function direct<K extends OpName>(op: string, attributes: OnnxAttributes = {}, domain = ''): Form<K> {
  return (e, inputs, _, __, options) => e.onnx.node(op, namesOf(e, inputs), attributes, { ...options, domain });
}

function reduce<K extends 'sum' | 'mean' | 'max'>(op: string): Form<K> {
  return (e, inputs, { axes, keepDims }, _, options) =>
    e.onnx.node(
      op,
      [e.values.name(inputAt(inputs, 0)), e.onnx.integers(axes)],
      { keepdims: keepDims ? 1 : 0 },
      options,
    );
}

function argReduce<K extends 'argmax' | 'argmin'>(op: string): Form<K> {
  return (e, inputs, { axis, keepDims }, _, options) =>
    e.onnx.node(op, namesOf(e, inputs), { axis, keepdims: keepDims ? 1 : 0, select_last_index: 0 }, options);
}

const forms: { readonly [K in OpName]: Form<K> } = {
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
  rankMean: direct('Identity'),
  leakyRelu: (e, inputs, { slope }, _, options) =>
    e.onnx.node('LeakyRelu', namesOf(e, inputs), { alpha: { float: slope } }, options),
  clamp: (e, inputs, { min, max }, _, options) =>
    e.onnx.node('Clip', [e.values.name(inputAt(inputs, 0)), e.onnx.scalar(min), e.onnx.scalar(max)], {}, options),
  cast: (e, inputs, { dtype }, output, options) => {
    const code = { float32: 1, int32: 6, int64: 7, bool: 9, float16: 10, float64: 11 } as const;
    const target = e.onnx.dtype(output);
    if (!(target in code)) throw new StableDiffusionError('invalid-argument', `A graph cannot cast to ${dtype}.`);
    return e.onnx.node('Cast', namesOf(e, inputs), { to: code[target as keyof typeof code] }, options);
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
  matmul,
  linear,
  int8Linear,
  blockLinear,
  int8Conv2d,
  int8DirectConv2d,
  conv2d,
  convTranspose2d,
  conv2dWeightGradient: (e, inputs, window, _, options) =>
    weightGradient(e, inputAt(inputs, 0), inputAt(inputs, 1), window, options),
  attention: (e, inputs, { heads, scale, causal }, _, options) => {
    const [q, k, v, mask] = namesOf(e, inputs);
    const operands = [q, k, v, ...(mask === undefined ? [] : ['', '', mask])].map((name) => name ?? '');
    return e.onnx.node(
      'MultiHeadAttention',
      operands,
      { num_heads: heads, scale: { float: scale }, unidirectional: causal ? 1 : 0 },
      { ...options, domain: microsoft },
    );
  },
  groupNorm: (e, inputs, { groups, epsilon }, output, options) => {
    const [x, weight, bias] = [inputAt(inputs, 0), inputAt(inputs, 1), inputAt(inputs, 2)];
    const channels = numberOf(x.shape[1], 'The number of channels');
    const grouped = e.onnx.node('Reshape', [e.values.name(x), e.onnx.integers([0, groups, -1])]);
    const ones = e.onnx.constant(float32([groups], new Float32Array(groups).fill(1)));
    const none = e.onnx.constant(float32([groups], new Float32Array(groups)));
    const normal = e.onnx.node('InstanceNormalization', [grouped, ones, none], { epsilon: { float: epsilon } });
    const back = e.onnx.node('Reshape', [normal, e.shapes.vector(output.shape)]);
    const perChannel = [channels, ...x.shape.slice(2).map(() => 1)];
    const column = (value: Value): string =>
      e.values.isParameter(value)
        ? e.values.parameter(value, perChannel)
        : e.onnx.node('Reshape', [e.values.name(value), e.onnx.integers(perChannel)]);
    return e.onnx.node('Add', [e.onnx.node('Mul', [back, column(weight)]), column(bias)], {}, options);
  },
  groupNormLast,
  layerNorm: (e, inputs, { epsilon }, _, options) =>
    e.onnx.node('LayerNormalization', namesOf(e, inputs), { axis: -1, epsilon: { float: epsilon } }, options),
  softmax: (e, inputs, { axis }, _, options) => e.onnx.node('Softmax', namesOf(e, inputs), { axis }, options),
  sum: (e, inputs, attributes, output, options) => {
    const x = inputAt(inputs, 0);
    const rows = x.shape.slice(0, attributes.axes.length);
    const leading = attributes.axes.length < x.shape.length && attributes.axes.every((axis, i) => axis === i);
    if (
      !leading ||
      attributes.keepDims ||
      e.options.imageBlock === undefined ||
      x.dtype !== 'float32' ||
      !x.shape.every((size) => typeof size === 'number')
    )
      return reduce<'sum'>('ReduceSum')(e, inputs, attributes, output, options);
    // Sums of columns: in training, as a product with ones, which takes half the time.
    const count = Number(productOfDims(rows));
    const product = e.onnx.node('MatMul', [
      e.shapes.filled(1, [1, count]),
      e.onnx.node('Reshape', [e.values.name(x), e.onnx.integers([count, -1])]),
    ]);
    return e.onnx.node('Reshape', [product, e.shapes.vector(output.shape)], {}, options);
  },
  mean: reduce('ReduceMean'),
  max: reduce('ReduceMax'),
  argmax: argReduce('ArgMax'),
  argmin: argReduce('ArgMin'),
  reshape: (e, inputs, { shape }, _, options) => {
    const x = inputAt(inputs, 0);
    return e.onnx.node('Reshape', [e.values.name(x), e.shapes.reshapeTarget(x.shape, shape)], {}, options);
  },
  transpose: (e, inputs, { permutation }, _, options) =>
    e.onnx.node('Transpose', namesOf(e, inputs), { perm: permutation }, options),
  concat: (e, inputs, { axis }, _, options) => e.onnx.node('Concat', namesOf(e, inputs), { axis }, options),
  slice: (e, inputs, { axis, start, end, step }, _, options) =>
    e.onnx.node(
      'Slice',
      [
        e.values.name(inputAt(inputs, 0)),
        e.shapes.vector([start]),
        e.shapes.vector([end]),
        e.onnx.integers([axis]),
        e.onnx.integers([step]),
      ],
      {},
      options,
    ),
  pad: (e, inputs, { before, after, value }, _, options) =>
    e.onnx.node(
      'Pad',
      [e.values.name(inputAt(inputs, 0)), e.shapes.vector([...before, ...after]), e.onnx.scalar(value)],
      {},
      options,
    ),
  expand: (e, inputs, { shape }, _, options) =>
    e.onnx.node('Expand', [e.values.name(inputAt(inputs, 0)), e.shapes.vector(shape)], {}, options),
  range: (e, _, { length }, __, options) =>
    e.onnx.node(
      'Range',
      [
        e.onnx.constant(int64([], [0])),
        e.onnx.node('Squeeze', [e.shapes.vector([length])]),
        e.onnx.constant(int64([], [1])),
      ],
      {},
      options,
    ),
  dimension: (e, _, { size }, __, options) =>
    e.onnx.node(
      'Squeeze',
      [e.onnx.node('Cast', [e.shapes.vector([size])], { to: e.onnx.float === 'float32' ? 1 : 10 })],
      {},
      options,
    ),
  stopGradient: direct('Identity'),
  // A reshape to the same shape, whose target depends on an element of the second input: no copy, and nothing the runtime could merge or move.
  barrier: (e, inputs, _, output, options) => {
    const [x, after] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    const none = after.shape.map(() => 0);
    const first =
      none.length === 0
        ? e.values.name(after)
        : e.onnx.node('Slice', [
            e.values.name(after),
            e.onnx.integers(none),
            e.onnx.integers(none.map(() => 1)),
            e.onnx.integers(none.map((__, axis) => axis)),
          ]);
    const zero = e.onnx.node('Mul', [
      e.onnx.node('Cast', [e.onnx.node('Reshape', [first, e.onnx.integers([1])])], { to: 7 }),
      e.onnx.integers([0]),
    ]);
    return e.onnx.node(
      'Reshape',
      [e.values.name(x), e.onnx.node('Add', [e.shapes.vector(output.shape), zero])],
      {},
      options,
    );
  },
  gather: direct('Gather', { axis: 0 }),
  // ScatterElements adds one element after the other; ScatterND adds in parallel, in an order that changes from run to run.
  scatterAdd: (e, inputs, _, output, options) => {
    const [ids, rows] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    const zero = e.onnx.node('Expand', [e.onnx.scalar(0), e.shapes.vector(output.shape)]);
    const count = productOfDims(ids.shape);
    const rest = rows.shape.slice(ids.shape.length);
    const flat = e.onnx.node('Reshape', [e.values.name(rows), e.shapes.vector([count, ...rest])]);
    const column = e.onnx.node('Reshape', [e.values.name(ids), e.shapes.vector([count, ...rest.map(() => 1)])]);
    const index = e.onnx.node('Expand', [column, e.shapes.vector([count, ...rest])]);
    return e.onnx.node('ScatterElements', [zero, index, flat], { axis: 0, reduction: 'add' }, options);
  },
  oneHot: (e, inputs, { depth }, _, options) =>
    e.onnx.node(
      'OneHot',
      [e.values.name(inputAt(inputs, 0)), e.onnx.integers([depth]), e.onnx.constant(float32([2], [0, 1]))],
      { axis: -1 },
      options,
    ),
  upsampleNearest: (e, inputs, { scale }, _, options) =>
    resample(
      e,
      inputAt(inputs, 0),
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
    return resample(e, inputAt(inputs, 0), scale, attributes[mode], options);
  },
  avgPool: (e, inputs, { kernel, stride, pads }, _, options) =>
    e.onnx.node(
      'AveragePool',
      namesOf(e, inputs),
      { kernel_shape: kernel, strides: [stride, stride], pads: pads, count_include_pad: 1 },
      options,
    ),
  maxPool: (e, inputs, { kernel, stride, pads }, _, options) =>
    e.onnx.node(
      'MaxPool',
      namesOf(e, inputs),
      { kernel_shape: kernel, strides: [stride, stride], pads: pads },
      options,
    ),
};

function resample(e: Emitter, x: Value, scale: number, attributes: OnnxAttributes, options: NodeOptions): string {
  const float = e.onnx.constant(float32([4], [1, 1, scale, scale]));
  // Resize takes its scales as float32 for any element type of the image.
  const scales = e.onnx.float === 'float32' ? float : e.onnx.node('Cast', [float], { to: 1 });
  return e.onnx.node('Resize', [e.values.name(x), '', scales], attributes, options);
}

/** Every operation by its form. */
export const operationForms: Lowering = (e) => (node, output) => {
  const form = forms[node.op] as Form<OpName>;
  form(e, node.inputs, node.attributes as never, node.output, { output: output() });
  return true;
};
