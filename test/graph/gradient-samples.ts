/** Inputs on which each gradient rule is checked. */

import type { Attributes, OpName } from '../../src/graph/operations.ts';
import { elementCount, float32, int64, type Shape, type Tensor, tensor } from '../../src/tensor/tensor.ts';

/** Values in [-1, 1] that look random and are the same in each run. */
export function noise(shape: Shape, seed: number): Tensor<'float32'> {
  let state = seed * 7919 + 17;
  const data = Float32Array.from({ length: elementCount(shape) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  return float32(shape, data);
}

const shifted = (value: Tensor<'float32'>, scale: number, shift: number): Tensor<'float32'> =>
  float32(
    value.shape,
    value.data.map((x) => x * scale + shift),
  );

export interface Sample<K extends OpName> {
  readonly inputs: readonly Tensor[];
  readonly attributes: Attributes[K];
  /** Symbols for the dimensions of the inputs, where the operation is to be checked with them as well. */
  readonly symbols?: readonly (readonly (string | undefined)[])[];
}

const x = noise([2, 3, 4], 1);
const image = noise([2, 4, 6, 5], 2);
const imageSymbols = [['batch', undefined, 'height', 'width']];
/** Away from 0, where some functions have a kink. */
const away = float32(
  x.shape,
  x.data.map((value) => value + Math.sign(value) * 0.2),
);
/** The same order of values, neighbours 0.1 apart, so that a step does not change which is the largest. */
const apart = (value: Tensor<'float32'>): Tensor<'float32'> => {
  const sorted = [...value.data].sort((a, b) => a - b);
  return float32(
    value.shape,
    value.data.map((element) => sorted.indexOf(element) / 10),
  );
};
const positive = shifted(x, 0.5, 1);
const two = (b: Tensor<'float32'>): readonly Tensor[] => [away, b];
const broadcast = noise([3, 1], 3);
const condition = tensor('bool', [2, 1, 4], Uint8Array.from([1, 0, 0, 1, 1, 1, 0, 1]));
const tokens = [noise([2, 5, 8], 4), noise([2, 3, 8], 5), noise([2, 3, 4], 6)];
const ids = int64([2, 2], [1, 0, 1, 2]);
const one = { inputs: [x], attributes: {} };
const window = { kernel: [3, 2], stride: 2, pads: [1, 0, 1, 1] } as const;
const conv = { stride: 2, pads: [1, 0, 1, 2], groups: 1 } as const;
const matrices = { a: noise([2, 3, 4], 7), b: noise([4, 5], 8) };

export const samples: { readonly [K in OpName]: readonly Sample<K>[] } = {
  neg: [one],
  exp: [one],
  log: [{ inputs: [positive], attributes: {} }],
  rankMean: [{ inputs: [positive], attributes: {} }],
  sqrt: [{ inputs: [positive], attributes: {} }],
  abs: [{ inputs: [away], attributes: {} }],
  sign: [{ inputs: [away], attributes: {} }],
  reciprocal: [{ inputs: [positive], attributes: {} }],
  floor: [{ inputs: [float32([3], [0.5, 1.3, -2.4])], attributes: {} }],
  erf: [one],
  sin: [one],
  cos: [one],
  tanh: [one],
  sigmoid: [one],
  relu: [{ inputs: [away], attributes: {} }],
  softplus: [one],
  silu: [one],
  quickGelu: [one],
  gelu: [one],
  leakyRelu: [{ inputs: [away], attributes: { slope: 0.2 } }],
  clamp: [{ inputs: [float32([6], [-2, -0.5, 0, 0.3, 0.9, 3])], attributes: { min: -0.7, max: 0.6 } }],
  cast: [
    { inputs: [x], attributes: { dtype: 'float64' } },
    { inputs: [x], attributes: { dtype: 'int64' } },
  ],
  add: [{ inputs: two(broadcast), attributes: {}, symbols: [['batch', undefined, 'width'], []] }],
  sub: [
    { inputs: two(broadcast), attributes: {} },
    { inputs: [broadcast, x], attributes: {} },
  ],
  mul: [
    { inputs: two(broadcast), attributes: {} },
    { inputs: [x, x], attributes: {} },
  ],
  div: [{ inputs: two(shifted(broadcast, 0.3, 1)), attributes: {} }],
  pow: [{ inputs: [positive, broadcast], attributes: {} }],
  maximum: [{ inputs: two(broadcast), attributes: {} }],
  minimum: [{ inputs: two(broadcast), attributes: {} }],
  less: [{ inputs: two(broadcast), attributes: {} }],
  equal: [{ inputs: two(broadcast), attributes: {} }],
  where: [{ inputs: [condition, x, broadcast], attributes: {} }],
  matmul: [
    {
      inputs: [matrices.a, matrices.b],
      attributes: { transposeA: false, transposeB: false },
      symbols: [['batch', 'rows', undefined], []],
    },
    { inputs: [noise([2, 4, 3], 9), noise([5, 4], 10)], attributes: { transposeA: true, transposeB: true } },
    { inputs: [matrices.a, noise([2, 5, 4], 11)], attributes: { transposeA: false, transposeB: true } },
    { inputs: [noise([4, 3], 12), noise([2, 4, 5], 13)], attributes: { transposeA: true, transposeB: false } },
  ],
  linear: [
    {
      inputs: [x, noise([5, 4], 14), noise([5], 15)],
      attributes: {},
      symbols: [['batch', 'tokens', undefined], [], []],
    },
    { inputs: [noise([3, 4], 16), noise([5, 4], 17)], attributes: {} },
  ],
  // Not differentiable.
  int8Linear: [],
  blockLinear: [],
  int8Conv2d: [],
  int8DirectConv2d: [],
  groupNormLast: [],
  conv2d: [
    { inputs: [image, noise([3, 4, 3, 3], 18), noise([3], 19)], attributes: conv },
    {
      inputs: [image, noise([3, 4, 3, 3], 20)],
      attributes: { stride: 1, pads: [1, 1, 1, 1], groups: 1 },
      symbols: [...imageSymbols, []],
    },
    { inputs: [image, noise([6, 2, 2, 3], 21)], attributes: { stride: 1, pads: [0, 1, 0, 1], groups: 2 } },
    {
      inputs: [image, noise([3, 4, 1, 1], 22), noise([3], 23)],
      attributes: { stride: 1, pads: [0, 0, 0, 0], groups: 1 },
      symbols: [...imageSymbols, [], []],
    },
  ],
  convTranspose2d: [
    {
      inputs: [image, noise([4, 3, 3, 3], 24)],
      attributes: { stride: 2, pads: [1, 1, 1, 1], groups: 1, height: 12, width: 9 },
    },
    {
      inputs: [image, noise([4, 3, 3, 3], 25)],
      attributes: { stride: 1, pads: [1, 1, 1, 1], groups: 2, height: 6, width: 5 },
    },
  ],
  conv2dWeightGradient: [
    { inputs: [image, noise([2, 3, 3, 3], 26)], attributes: { ...conv, kernel: [3, 3] } },
    {
      inputs: [image, noise([2, 3, 6, 5], 27)],
      attributes: { stride: 1, pads: [0, 0, 0, 0], groups: 1, kernel: [1, 1] },
    },
  ],
  attention: [
    {
      inputs: tokens,
      attributes: { heads: 2, scale: 0.7, causal: false },
      symbols: [
        ['batch', 'queries', undefined],
        ['batch', 'keys', undefined],
        ['batch', 'keys', undefined],
      ],
    },
    {
      inputs: [noise([1, 4, 8], 28), noise([1, 4, 8], 29), noise([1, 4, 8], 30)],
      attributes: { heads: 2, scale: 0.5, causal: true },
      symbols: [
        ['batch', 'n', undefined],
        ['batch', 'n', undefined],
        ['batch', 'n', undefined],
      ],
    },
    { inputs: [...tokens, noise([1, 2, 5, 3], 31)], attributes: { heads: 2, scale: 0.7, causal: false } },
  ],
  groupNorm: [
    {
      inputs: [image, noise([4], 32), noise([4], 33)],
      attributes: { groups: 2, epsilon: 1e-5 },
      symbols: [...imageSymbols, [], []],
    },
    { inputs: [noise([2, 4, 3], 34), noise([4], 35), noise([4], 36)], attributes: { groups: 4, epsilon: 1e-2 } },
  ],
  layerNorm: [
    {
      inputs: [x, noise([4], 37), noise([4], 38)],
      attributes: { epsilon: 1e-5 },
      symbols: [['batch', 'tokens', undefined], [], []],
    },
  ],
  softmax: [{ inputs: [apart(x)], attributes: { axis: 1 } }],
  sum: [
    { inputs: [x], attributes: { axes: [0, 2], keepDims: false }, symbols: [['batch', undefined, 'width']] },
    { inputs: [x], attributes: { axes: [1], keepDims: true } },
  ],
  mean: [
    { inputs: [x], attributes: { axes: [0, 2], keepDims: false }, symbols: [['batch', undefined, 'width']] },
    { inputs: [x], attributes: { axes: [1], keepDims: true } },
  ],
  max: [{ inputs: [apart(x)], attributes: { axes: [0, 2], keepDims: false } }],
  argmax: [{ inputs: [apart(x)], attributes: { axis: 1, keepDims: false } }],
  argmin: [{ inputs: [x], attributes: { axis: 1, keepDims: false } }],
  reshape: [{ inputs: [x], attributes: { shape: [6, 4] } }],
  transpose: [{ inputs: [x], attributes: { permutation: [2, 0, 1] }, symbols: [['a', 'b', 'c']] }],
  concat: [
    {
      inputs: [x, noise([2, 2, 4], 39)],
      attributes: { axis: 1 },
      symbols: [
        ['batch', 'n', undefined],
        ['batch', 'm', undefined],
      ],
    },
  ],
  slice: [
    { inputs: [x], attributes: { axis: 2, start: 1, end: 3, step: 1 } },
    { inputs: [x], attributes: { axis: 2, start: 1, end: 4, step: 2 } },
    { inputs: [noise([7], 40)], attributes: { axis: 0, start: 1, end: 7, step: 3 } },
  ],
  pad: [{ inputs: [x], attributes: { before: [0, 1, 2], after: [1, 0, 1], value: 0.5 }, symbols: [['a', 'b', 'c']] }],
  expand: [{ inputs: [noise([3, 1], 41)], attributes: { shape: [2, 3, 4] } }],
  range: [{ inputs: [], attributes: { length: 4 } }],
  dimension: [{ inputs: [], attributes: { size: 4 } }],
  stopGradient: [one],
  barrier: [{ inputs: [x, broadcast], attributes: {} }],
  gather: [{ inputs: [noise([4, 3], 42), ids], attributes: {} }],
  scatterAdd: [{ inputs: [ids, noise([2, 2, 3], 43)], attributes: { size: 4 } }],
  oneHot: [{ inputs: [ids], attributes: { depth: 4 } }],
  upsampleNearest: [{ inputs: [image], attributes: { scale: 2 }, symbols: imageSymbols }],
  resize: [
    { inputs: [image], attributes: { mode: 'bilinear', scale: 2 } },
    { inputs: [image], attributes: { mode: 'bicubic', scale: 2 } },
    { inputs: [image], attributes: { mode: 'nearest', scale: 2 } },
    { inputs: [noise([1, 2, 6, 4], 44)], attributes: { mode: 'bilinear', scale: 0.5 } },
  ],
  avgPool: [
    { inputs: [image], attributes: { kernel: [2, 2], stride: 2, pads: [0, 0, 0, 0] }, symbols: imageSymbols },
    { inputs: [image], attributes: window },
  ],
  maxPool: [
    { inputs: [apart(image)], attributes: { kernel: [2, 2], stride: 2, pads: [0, 0, 0, 0] }, symbols: imageSymbols },
    { inputs: [apart(image)], attributes: window },
  ],
};

/** Inputs that have a derivative which finite differences can see; for the others the rule must give none. */
export const without: Partial<Record<OpName, readonly number[]>> = {
  sign: [0],
  floor: [0],
  less: [0, 1],
  equal: [0, 1],
  where: [0],
  argmax: [0],
  argmin: [0],
  gather: [1],
  scatterAdd: [0],
  oneHot: [0],
  stopGradient: [0],
  barrier: [1],
};
