/** Each operation alone: its recorded value and gradients (torch autograd) in float32, and its value in float16. */

import { batchNorm } from '../../../src/nn/batch-norm.ts';
import * as f from '../../../src/graph/functions.ts';
import { gradients } from '../../../src/graph/gradients.ts';
import { type Params, type Sym, trace } from '../../../src/graph/trace.ts';
import { klDivergence, samplePosterior } from '../../../src/models/autoencoder-kl.ts';
import { quantize } from '../../../src/models/autoencoder-vq.ts';
import { type Tensor, tensor } from '../../../src/tensor/tensor.ts';
import { runGraph } from '../../graph/run-graph.ts';
import { pick } from '../../tensors.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { type IndexRow, originalOf, type Reader } from '../reader.ts';
import { compareOutputs, gradientNames, named, type TrainingCase, trainingCase } from '../training-case.ts';

type Get = (name: string) => Sym;
type Settings = Readonly<Record<string, unknown>>;
/** The operation as a network: its outputs by the recorded names `y`, or `y0`, `y1`, … */
type Build = (get: Get, settings: Settings, has: (name: string) => boolean, p: Params) => Record<string, Sym>;

const unary =
  (op: (x: Sym) => Sym): Build =>
  (get) => ({ y: op(get('x')) });
const optional = (get: Get, has: (name: string) => boolean, name: string): Sym | undefined =>
  has(name) ? get(name) : undefined;
const size = (x: Sym, axis: number): number => Number(x.shape[axis]);

/** (b, [heads × ] 3 × c, t) → (b, c, t), as `openaimodel.QKVAttention` and its legacy form. */
const qkvAttention =
  (legacy: boolean): Build =>
  (get, settings) => {
    const qkv = get('qkv');
    const heads = Number(settings['heads']);
    const [b, width, t] = [size(qkv, 0), size(qkv, 1), size(qkv, 2)];
    const c = width / 3;
    const grouped = f.reshape(qkv, legacy ? [b, heads, 3, c / heads, t] : [b, 3, heads, c / heads, t]);
    const [q, k, v] = f
      .split(grouped, legacy ? 2 : 1, [1, 1, 1])
      .map((part) => f.transpose(f.reshape(part, [b, c, t]), [0, 2, 1])) as [Sym, Sym, Sym];
    return { y: f.transpose(f.attention(q, k, v, { heads }), [0, 2, 1]) };
  };

const posterior: Build = (get) => {
  const [mean, raw] = f.chunk(get('moments'), 1, 2) as [Sym, Sym];
  const logvar = f.clamp(raw, -30, 20);
  const difference = f.sub(0.3, mean);
  const nll = f.add(f.add(logvar, Math.log(2 * Math.PI)), f.div(f.mul(difference, difference), f.exp(logvar)));
  return {
    y0: samplePosterior({ mean, logvar }, get('noise')),
    y1: klDivergence({ mean, logvar }),
    y2: f.mul(f.sum(nll, [1, 2, 3]), 0.5),
  };
};

const logSumExp = (x: Sym): Sym => {
  const largest = f.stopGradient(f.max(x, [-1], { keepDims: true }));
  return f.add(f.log(f.sum(f.exp(f.sub(x, largest)), [-1], { keepDims: true })), largest);
};

const vq: Build = (get, settings) => {
  const codebook = get('codebook');
  // The codebook is an input here, not a parameter.
  const lookup = { at: () => ({ get: () => codebook }) } as unknown as Params;
  const { quant, loss, indices } = quantize(
    lookup,
    { n_embed: size(codebook, 0), embed_dim: size(codebook, 1), sane_index_shape: false },
    get('z'),
    { legacy: settings['legacy'] === true },
  );
  return { y0: quant, y1: loss, y2: indices };
};

const conv: Build = (get, settings, has) => {
  const padding = typeof settings['padding'] === 'number' ? settings['padding'] : ([0, 0, 1, 1] as const);
  return {
    y: f.conv2d(get('x'), get('weight'), optional(get, has, 'bias'), { stride: Number(settings['stride']), padding }),
  };
};

const convTranspose: Build = (get, settings) => {
  const [x, weight] = [get('x'), get('weight')];
  const stride = Number(settings['stride']);
  const length = (axis: number): number => (size(x, axis) - 1) * stride + size(weight, axis);
  const y = f.convTranspose2d(x, weight, {
    stride,
    pads: [0, 0, 0, 0],
    groups: 1,
    height: length(2),
    width: length(3),
  });
  return { y: f.add(y, f.reshape(get('bias'), [1, -1, 1, 1])) };
};

const groupNorm: Build = (get, settings) => ({
  y: f.groupNorm(get('x'), get('weight'), get('bias'), {
    groups: Number(settings['groups']),
    epsilon: Number(settings['eps']),
  }),
});
const layerNorm: Build = (get, settings) => ({
  y: f.layerNorm(get('x'), get('weight'), get('bias'), { epsilon: Number(settings['eps']) }),
});
const attention: Build = (get, settings) => ({
  y: f.attention(get('q'), get('k'), get('v'), {
    heads: Number(settings['heads']),
    causal: settings['causal'] === true,
    ...(settings['scale'] === 1 ? { scale: 1 } : {}),
  }),
});

/** `ldm.modules.attention.CrossAttention` with a mask over the context's tokens. */
const maskedCrossAttention: Build = (get, settings) => {
  const mask = get('mask');
  const [b, m] = [size(mask, 0), size(mask, 1)];
  const added = f.where(
    f.reshape(mask, [b, 1, 1, m]),
    0,
    f.constant(get('x'), tensor('float32', [], Float32Array.of(-3.4028234663852886e38))),
  );
  const [q, k, v] = [
    f.linear(get('x'), get('to_q.weight')),
    f.linear(get('context'), get('to_k.weight')),
    f.linear(get('context'), get('to_v.weight')),
  ];
  const scores = f.expand(added, [b, 1, size(q, 1), m]);
  return {
    y: f.linear(
      f.attention(q, k, v, { heads: Number(settings['heads']), mask: scores }),
      get('to_out.0.weight'),
      get('to_out.0.bias'),
    ),
  };
};

/** Networks by what the row exercises, and whose operation it is. */
const builds: readonly (readonly [RegExp, Build])[] = [
  [/^conv2d/, conv],
  [
    /^conv1d/,
    (get) => ({
      y: f.reshape(
        f.conv2d(
          f.reshape(get('x'), [...get('x').shape, 1]),
          f.reshape(get('weight'), [...get('weight').shape, 1]),
          get('bias'),
        ),
        [size(get('x'), 0), size(get('weight'), 0), size(get('x'), 2)],
      ),
    }),
  ],
  [/^transposed convolution/, convTranspose],
  [/^group norm/, groupNorm],
  [/^layer norm/, layerNorm],
  [
    /^batch norm/,
    (get, settings) => ({ y: batchNorm(get('x'), get('weight'), get('bias'), { epsilon: Number(settings['eps']) }).y }),
  ],
  [/^pointwise silu/, unary(f.silu)],
  [/^pointwise gelu_erf/, unary(f.gelu)],
  [/^pointwise quick_gelu/, unary(f.quickGelu)],
  [/^pointwise leaky_relu02/, unary((x) => f.leakyRelu(x, 0.2))],
  [/^pointwise relu/, unary(f.relu)],
  [/^pointwise sigmoid/, unary(f.sigmoid)],
  [/^pointwise tanh/, unary(f.tanh)],
  [/^pointwise softplus/, unary(f.softplus)],
  [/^pointwise abs/, unary(f.abs)],
  [/^pointwise exp_half/, unary((x) => f.exp(f.mul(f.clamp(x, -30, 20), 0.5)))],
  [/^pointwise sqrt_sum_sq/, unary((x) => f.sqrt(f.add(f.mul(x, x), 1e-12)))],
  [/^clamp to/, (get, { min, max }) => ({ y: f.clamp(get('x'), Number(min), Number(max)) })],
  [/^channel-first attention.*QKVAttentionLegacy/, qkvAttention(true)],
  [/^channel-first attention.*QKVAttention$/, qkvAttention(false)],
  [/^softmax/, attention],
  [/key mask/, maskedCrossAttention],
  [/^linear with/, (get, _, has) => ({ y: f.linear(get('x'), get('weight'), optional(get, has, 'bias')) })],
  [/^batched matmul/, (get) => ({ y: f.matmul(get('a'), get('b')) })],
  [/^nearest 2x/, unary((x) => f.upsampleNearest(x, 2))],
  [/^2x2 average pool/, unary((x) => f.avgPool(x, { kernel: 2 }))],
  [/^2x2 max pool/, unary((x) => f.maxPool(x, { kernel: 2 }))],
  [/^embedding lookup/, (get) => ({ y: f.gather(get('weight'), get('ids')) })],
  [/^concatenation on channels/, (get) => ({ y: f.concat([get('a'), get('b')], 1) })],
  [
    /^split in parts/,
    (get, settings) =>
      Object.fromEntries(
        f.split(get('x'), Number(settings['dim']), settings['sizes'] as number[]).map((part, i) => [`y${i}`, part]),
      ),
  ],
  [/^chunk where/, (get) => Object.fromEntries(f.chunk(get('x'), 1, 2).map((part, i) => [`y${i}`, part]))],
  [
    /GEGLU$/,
    (get) => {
      const [value, gate] = f.chunk(f.linear(get('x'), get('weight'), get('bias')), -1, 2) as [Sym, Sym];
      return { y: f.mul(value, f.gelu(gate)) };
    },
  ],
  [
    /^broadcast add and multiply/,
    (get) => ({
      y: f.mul(f.mul(f.add(get('x'), f.reshape(get('e'), [...get('e').shape, 1, 1])), f.add(get('c'), 1)), get('s')),
    }),
  ],
  [/^broadcast divide and subtract/, (get) => ({ y: f.sub(f.div(get('a'), get('b')), get('b')) })],
  [/^permute/, unary((x) => f.transpose(x, [2, 0, 1]))],
  [/^mean over/, unary((x) => f.mean(x, [1, 2, 3]))],
  [/^logsumexp/, unary((x) => f.reshape(logSumExp(x), [size(x, 0)]))],
  [/^log-softmax/, unary((x) => f.sub(x, logSumExp(x)))],
  [
    /^cross entropy/,
    (get) => {
      const x = get('x');
      return { y: f.neg(f.div(f.sum(f.mul(f.sub(x, logSumExp(x)), f.oneHot(get('ids'), size(x, 1)))), size(x, 0))) };
    },
  ],
  [/^mean squared error/, (get) => ({ y: f.mean(f.mul(f.sub(get('a'), get('b')), f.sub(get('a'), get('b')))) })],
  [/^posterior:/, posterior],
  [
    /^KL of two Gaussians/,
    (get) => {
      const [m1, l1, m2, l2] = ['m1', 'l1', 'm2', 'l2'].map(get) as [Sym, Sym, Sym, Sym];
      const difference = f.sub(m1, m2);
      const terms = f.add(
        f.add(f.add(f.sub(l2, l1), -1), f.exp(f.sub(l1, l2))),
        f.mul(f.mul(difference, difference), f.exp(f.neg(l2))),
      );
      return { y: f.mul(terms, 0.5) };
    },
  ],
  [/^nearest code/, vq],
];

const buildOf = (row: IndexRow): Build | undefined =>
  builds.find(([pattern]) => pattern.test(`${row['exercises']} ${originalOf(row)}`))?.[1];

export const reader: Reader = {
  set: 'training',
  reads: (row, part) => part === 'ops' && row['skipped'] === undefined && buildOf(row) !== undefined,
  compare: collecting(async ({ row, ...recorded }, compare) => {
    const one = trainingCase({ row, ...recorded });
    const build = buildOf(row);
    if (!build) throw new Error('an unknown operation');
    const inputs: Record<string, Tensor> = {};
    for (const [key, value] of one.tensors) if (key.startsWith('in.')) inputs[key.slice(3)] = inputOf(row, value);
    const types = Object.fromEntries(Object.entries(inputs).map(([key, { dtype, shape }]) => [key, { dtype, shape }]));
    const graph = trace(types, (symbols: Readonly<Record<string, Sym>>, p) => {
      const outputs = build(
        (key) => named(symbols, key),
        one.settings,
        (key) => key in symbols,
        p,
      );
      const terms = Object.entries(outputs).flatMap(([key, value]) => {
        const up = symbols[key.replace('y', 'up')];
        return up ? [f.sum(f.mul(value, up))] : [];
      });
      return { ...outputs, loss: terms.reduce((total, term) => f.add(total, term)) };
    });
    const got = await runGraph(parityEngine(), gradients(graph, 'loss', gradientNames(one)), inputs);
    compareOutputs(one, compare, (name) => got[name]);
    compareHalf(one, compare, await runGraph(parityEngine(), graph, inputs, new Map(), 'float16'), row);
  }),
};

/** Masks are stored as bytes. */
function inputOf(row: IndexRow, value: Tensor): Tensor {
  const isMask = /key mask/.test(String(row['exercises'])) && value.dtype === 'uint8';
  return isMask ? tensor('bool', value.shape, value.data as Uint8Array) : value;
}

/** Values in float16: the precision of the numbers themselves is 2^-11 of the largest; ten such roundings are allowed. */
function compareHalf(
  { tolerance, scalars, tensors }: TrainingCase,
  compare: Comparisons,
  half: Readonly<Record<string, Tensor>>,
  row: IndexRow,
): void {
  for (const key of Object.keys(tolerance)) {
    if (key.startsWith('out.grad.')) continue;
    const want =
      key in scalars ? tensor('float32', [], Float32Array.of(scalars[key]?.float32 ?? 0)) : pick(tensors, key);
    if (want.dtype !== 'float32') continue;
    const largest = Array.from(want.data, Number).reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    if (largest >= 65504) continue;
    const low = named(half, key.slice('out.'.length));
    let error = 0;
    for (const [i, value] of want.data.entries())
      error = Math.max(error, Math.abs(Number(low.data[i]) - Number(value)));
    // These inputs differ by little more than float16 can tell apart: what is measured is their rounding.
    const lost = /variance near eps/.test(String(row['exercises']));
    const note = lost ? 'the inputs are not representable in float16' : undefined;
    compare.error(`${key} (float16)`, error, lost ? largest : largest * 10 * 2 ** -11, { note });
  }
}
