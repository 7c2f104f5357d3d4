/** Each operation alone: its recorded forward value and gradients (torch autograd), in float32; forward in float16 too. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import * as f from '../../src/graph/functions.ts';
import { gradients } from '../../src/graph/gradients.ts';
import { type Params, type Sym, trace } from '../../src/graph/trace.ts';
import { klDivergence, samplePosterior } from '../../src/models/autoencoder-kl.ts';
import { quantize } from '../../src/models/autoencoder-vq.ts';
import { batchNorm } from '../../src/nn/batch-norm.ts';
import { convert } from '../../src/tensor/convert.ts';
import { type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { compareTensor, recordParity } from '../parity.ts';
import { findReference, skipUnless } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';
import { runGraph } from './run-graph.ts';

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

const vq =
  (legacy: boolean): Build =>
  (get, _, __, p) => {
    const codebook = get('codebook');
    // The codebook is an input here, not a parameter.
    const lookup = { at: () => ({ get: () => codebook }) } as unknown as Params;
    void p;
    const { quant, loss, indices } = quantize(
      lookup,
      { n_embed: size(codebook, 0), embed_dim: size(codebook, 1), sane_index_shape: false },
      get('z'),
      { legacy },
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

const builds: readonly (readonly [RegExp, Build])[] = [
  [/^conv(1x1|3x3|4x4)_/, conv],
  [
    /^conv1d_1x1$/,
    (get) => ({
      y: f.reshape(
        f.conv2d(f.reshape(get('x'), [2, 6, 9, 1]), f.reshape(get('weight'), [10, 6, 1, 1]), get('bias')),
        [2, 10, 9],
      ),
    }),
  ],
  [/^conv_transpose/, convTranspose],
  [/^group_norm/, groupNorm],
  [/^layer_norm/, layerNorm],
  [
    /^batch_norm_train$/,
    (get, settings) => ({ y: batchNorm(get('x'), get('weight'), get('bias'), { epsilon: Number(settings['eps']) }).y }),
  ],
  [/^act_silu$/, unary(f.silu)],
  [/^act_gelu_erf$/, unary(f.gelu)],
  [/^act_quick_gelu$/, unary(f.quickGelu)],
  [/^act_leaky_relu02$/, unary((x) => f.leakyRelu(x, 0.2))],
  [/^act_relu$/, unary(f.relu)],
  [/^act_sigmoid$/, unary(f.sigmoid)],
  [/^act_tanh$/, unary(f.tanh)],
  [/^act_softplus$/, unary(f.softplus)],
  [/^act_abs$/, unary(f.abs)],
  [/^act_exp_half$/, unary((x) => f.exp(f.mul(f.clamp(x, -30, 20), 0.5)))],
  [/^act_sqrt_sum_sq$/, unary((x) => f.sqrt(f.add(f.mul(x, x), 1e-12)))],
  [/^clamp_logvar$/, (get, { min, max }) => ({ y: f.clamp(get('x'), Number(min), Number(max)) })],
  [/^attention_QKVAttentionLegacy$/, qkvAttention(true)],
  [/^attention_QKVAttention$/, qkvAttention(false)],
  [/^attention_/, attention],
  [/^cross_attention_mask$/, maskedCrossAttention],
  [/^linear/, (get, _, has) => ({ y: f.linear(get('x'), get('weight'), optional(get, has, 'bias')) })],
  [/^bmm$/, (get) => ({ y: f.matmul(get('a'), get('b')) })],
  [/^upsample_nearest2$/, unary((x) => f.upsampleNearest(x, 2))],
  [/^avg_pool2/, unary((x) => f.avgPool(x, { kernel: 2 }))],
  [/^max_pool2$/, unary((x) => f.maxPool(x, { kernel: 2 }))],
  [/^embedding$/, (get) => ({ y: f.gather(get('weight'), get('ids')) })],
  [/^concat_channels$/, (get) => ({ y: f.concat([get('a'), get('b')], 1) })],
  [/^split_uneven$/, (get) => Object.fromEntries(f.split(get('x'), 1, [2, 5, 1]).map((part, i) => [`y${i}`, part]))],
  [/^chunk_one_unused$/, (get) => Object.fromEntries(f.chunk(get('x'), 1, 2).map((part, i) => [`y${i}`, part]))],
  [
    /^geglu$/,
    (get) => {
      const [value, gate] = f.chunk(f.linear(get('x'), get('weight'), get('bias')), -1, 2) as [Sym, Sym];
      return { y: f.mul(value, f.gelu(gate)) };
    },
  ],
  [
    /^broadcast_add_mul$/,
    (get) => ({ y: f.mul(f.mul(f.add(get('x'), f.reshape(get('e'), [2, 4, 1, 1])), f.add(get('c'), 1)), get('s')) }),
  ],
  [/^broadcast_div_sub$/, (get) => ({ y: f.sub(f.div(get('a'), get('b')), get('b')) })],
  [/^permute$/, unary((x) => f.transpose(x, [2, 0, 1]))],
  [/^mean_dims$/, unary((x) => f.mean(x, [1, 2, 3]))],
  [/^logsumexp$/, unary((x) => f.reshape(logSumExp(x), [size(x, 0)]))],
  [/^log_softmax$/, unary((x) => f.sub(x, logSumExp(x)))],
  [
    /^cross_entropy$/,
    (get) => {
      const x = get('x');
      return { y: f.neg(f.div(f.sum(f.mul(f.sub(x, logSumExp(x)), f.oneHot(get('ids'), size(x, 1)))), size(x, 0))) };
    },
  ],
  [/^mse$/, (get) => ({ y: f.mean(f.mul(f.sub(get('a'), get('b')), f.sub(get('a'), get('b')))) })],
  [/^kl_posterior/, posterior],
  [
    /^normal_kl$/,
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
  [/^vq_straight_through_legacy$/, vq(true)],
  [/^vq_straight_through_fixed$/, vq(false)],
];

interface Case {
  readonly case: string;
  readonly exercises: string;
  readonly reference: string;
  readonly settings: Settings;
}
interface Side {
  readonly scalars: Readonly<Record<string, { readonly float32: number }>>;
  readonly tolerance: Readonly<Record<string, number>>;
  readonly max_abs?: Readonly<Record<string, number>>;
}

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const folder = findReference('training/ops');
const index: { readonly cases: readonly Case[] } = folder
  ? JSON.parse(readFileSync(findReference('training/index.json') ?? '', 'utf8'))
  : { cases: [] };

test('the recorded operations are here', { skip: skipUnless('training/ops') }, () => assert.ok(index.cases.length > 0));

for (const { case: name, exercises, reference: original, settings } of index.cases) {
  if (!name.startsWith('ops/')) continue;
  const own = name.slice('ops/'.length);
  test(`${name}: ${exercises}`, async () => {
    const build = builds.find(([pattern]) => pattern.test(own))?.[1];
    assert.ok(build, `no network for ${own}`);
    const tensors = readTensors(`${folder}/${own}.safetensors`);
    const side: Side = JSON.parse(readFileSync(`${folder}/${own}.json`, 'utf8'));
    const inputs: Record<string, Tensor> = {};
    for (const [key, value] of tensors)
      if (key.startsWith('in.'))
        inputs[key.slice(3)] =
          own === 'cross_attention_mask' && value.dtype === 'uint8'
            ? tensor('bool', value.shape, value.data as Uint8Array)
            : value;
    const wrt = Object.keys(side.tolerance)
      .filter((key) => key.startsWith('out.grad.'))
      .map((key) => key.slice('out.grad.'.length));
    const types = Object.fromEntries(Object.entries(inputs).map(([key, { dtype, shape }]) => [key, { dtype, shape }]));
    const graph = trace(types, (symbols, p) => {
      const get: Get = (key) => (symbols as Record<string, Sym>)[key] ?? assert.fail(`no input ${key}`);
      const outputs = build(get, settings, (key) => key in symbols, p);
      const terms = Object.entries(outputs).flatMap(([key, value]) => {
        const up = (symbols as Record<string, Sym>)[key.replace('y', 'up')];
        return up ? [f.sum(f.mul(value, up))] : [];
      });
      return { ...outputs, loss: terms.reduce((total, term) => f.add(total, term)) };
    });
    const got = await runGraph(engine, gradients(graph, 'loss', wrt), inputs);
    const half = await runGraph(engine, graph, inputs, new Map(), 'float16');
    for (const [key, tolerance] of Object.entries(side.tolerance)) {
      const scalar = side.scalars[key];
      const want = scalar ? tensor('float32', [], Float32Array.of(scalar.float32)) : pick(tensors, key);
      const row = { part: 'training', case: name, output: key, reference: original, tolerance };
      const found = got[key.slice('out.'.length)] as Tensor;
      compareTensor(row, found.dtype === want.dtype ? found : convert(found, want.dtype), want);
      if (key.startsWith('out.grad.') || want.dtype !== 'float32') continue;
      // The precision of the numbers themselves is 2^-11 of the largest; ten such roundings are allowed.
      const largest = (want.data as Float32Array).reduce((m, v) => Math.max(m, Math.abs(v)), 1);
      const low = half[key.slice('out.'.length)] as Tensor;
      const error = (low.data as Float32Array).reduce((m, v, i) => Math.max(m, Math.abs(v - Number(want.data[i]))), 0);
      // These inputs differ by little more than float16 can tell apart: what is measured is their rounding.
      const lost = own === 'group_norm_small_variance' ? { note: 'the inputs are not representable in float16' } : {};
      const allowed = 'note' in lost ? largest : largest * 10 * 2 ** -11;
      if (largest < 65504) recordParity({ ...row, output: `${key} (float16)`, error, tolerance: allowed, ...lost });
    }
  });
}
