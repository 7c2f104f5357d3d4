/** Whole training steps: LDM's trajectory of eight steps, accumulation, clipping, shards, and that a restored run goes on to the same bits. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { gradients } from '../../src/graph/gradients.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { type Sym, trace } from '../../src/graph/trace.ts';
import { dim } from '../../src/graph/dim.ts';
import { div, mean, mul } from '../../src/graph/functions.ts';
import { unet } from '../../src/models/unet.ts';
import { batchNorm } from '../../src/nn/batch-norm.ts';
import type { DataOf, DType } from '../../src/tensor/dtype.ts';
import { elementCount, float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { diffusionLoss } from '../../src/training/objective/diffusion.ts';
import { linearCycles } from '../../src/training/step/learning-rate.ts';
import { createTrainStep, type TrainStep, type TrainStepOptions } from '../../src/training/step/train-step.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { runGraph } from '../graph/run-graph.ts';
import { recordParity } from '../parity.ts';
import { skipUnless } from '../reference.ts';
import { pick } from '../tensors.ts';
import { ldmSchedule, lossUnet, lossWeights, withPrefix } from './loss-unet.ts';
import { compareCase, norm, readCase } from './recorded-case.ts';

const engine = createNodeEngine({ threads: 2 });
after(() => engine.dispose());

/** Rows from … to - 1 of axis 0. */
function rows<D extends DType>(value: Tensor<D>, from: number, to: number): Tensor<D> {
  const size = elementCount(value.shape.slice(1));
  return tensor(
    value.dtype,
    [to - from, ...value.shape.slice(1)],
    value.data.slice(from * size, to * size) as DataOf<D>,
  );
}

/** Entry `index` of axis 0. */
function entry(value: Tensor, index: number): Tensor {
  const one = rows(value, index, index + 1);
  return tensor(one.dtype, one.shape.slice(1), one.data as never);
}

const names = ['x0', 'noise', 't', 'c'] as const;
type Batch = Readonly<Record<(typeof names)[number], Tensor>>;
const shard = (batch: Batch, from: number, to: number): Batch =>
  Object.fromEntries(names.map((name) => [name, rows(batch[name], from, to)])) as unknown as Batch;

/** p_losses of the small UNet for any batch. */
function lossGraph(prefix: string): Graph {
  const b = dim('batch');
  return trace(
    {
      x0: { dtype: 'float32', shape: [b, 4, 8, 8] },
      noise: { dtype: 'float32', shape: [b, 4, 8, 8] },
      t: { dtype: 'int64', shape: [b] },
      c: { dtype: 'float32', shape: [b, dim('tokens'), 16] },
    },
    (given, p) => {
      const result = diffusionLoss({ schedule: ldmSchedule() }, given, (x, timesteps) =>
        unet(p.under(prefix), lossUnet, { x, timesteps, context: given.c }),
      );
      return { loss: result.loss, loss_vlb: result.metrics['loss_vlb'] as Sym };
    },
  );
}

function smallStep(options: Partial<TrainStepOptions> = {}, prefix = 'diffusion_model'): Promise<TrainStep> {
  return createTrainStep({
    engine,
    graph: lossGraph(prefix),
    weights: memoryWeights(withPrefix(lossWeights(), `${prefix}.`)),
    ...options,
  });
}

const batchOf = (recorded: ReturnType<typeof readCase>): Batch =>
  Object.fromEntries(names.map((name) => [name, recorded.input(name)])) as unknown as Batch;
const vector = (values: readonly number[]): Tensor<'float32'> => float32([values.length], values);

test('optim/train_8_steps', { skip: skipUnless('training/optim/train_8_steps.json') }, async () => {
  const recorded = readCase('optim/train_8_steps');
  const order = recorded.extra['parameter_order'] as readonly string[];
  const sampleIndex = recorded.input('sample_index').data as BigInt64Array;
  const schedule = linearCycles(recorded.settings['scheduler'] as Parameters<typeof linearCycles>[0]);
  await using step = await smallStep({ average: { decay: 0.9999 } });
  assert.deepEqual([...step.trained].sort(), [...order].sort());
  const all = batchOf(recorded);
  const history: Record<'losses' | 'lr' | 'grad_norms' | 'param_norms' | 'param_samples' | 'ema_norms', number[]> = {
    losses: [],
    lr: [],
    grad_norms: [],
    param_norms: [],
    param_samples: [],
    ema_norms: [],
  };
  const get = (values: Readonly<Record<string, Tensor>>, name: string): Tensor =>
    values[name] ?? assert.fail(`no ${name}`);
  for (let i = 0; i < 8; i++) {
    const batch = Object.fromEntries(names.map((name) => [name, entry(all[name], i)]));
    const learningRate = 1e-3 * schedule(i);
    const { loss } = await step.run(batch, { learningRate });
    const [gradient, parameters, averages] = [await step.gradients(), await step.parameters(), await step.averages()];
    history.losses.push(loss);
    history.lr.push(learningRate);
    for (const [at, name] of order.entries()) {
      history.grad_norms.push(norm(get(gradient, name)));
      history.param_norms.push(norm(get(parameters, name)));
      history.ema_norms.push(norm(get(averages, name)));
      for (let k = 0; k < 4; k++)
        history.param_samples.push(Number(get(parameters, name).data[Number(sampleIndex[4 * at + k])]));
    }
  }
  const [parameters, averages] = [await step.parameters(), await step.averages()];
  compareCase(recorded, (name) => {
    if (name in history) return vector(history[name as keyof typeof history]);
    if (name === 'ema_num_updates') return float32([], [step.counts.averageUpdates]);
    return name.startsWith('final.') ? parameters[name.slice(6)] : averages[name.slice(4)];
  });
  // The main check of the case: how far the whole update is from PyTorch's.
  const rounding = new Set(recorded.extra['parameters_with_zero_gradient'] as readonly string[]);
  const start = withPrefix(lossWeights(), 'diffusion_model.');
  let [difference, moved] = [0, 0];
  for (const name of order.filter((own) => !rounding.has(own))) {
    const want = pick(recorded.tensors, `out.final.${name}`).data as Float32Array;
    const got = get(parameters, name).data as Float32Array;
    const from = (start.get(name)?.data ?? []) as Float32Array;
    for (let i = 0; i < want.length; i++) {
      difference += ((got[i] as number) - (want[i] as number)) ** 2;
      moved += ((want[i] as number) - (from[i] as number)) ** 2;
    }
  }
  const { tolerance } = recorded.extra['update_rel_l2'] as { readonly tolerance: number };
  recordParity({
    part: 'training',
    case: recorded.name,
    output: 'update_rel_l2',
    error: Math.sqrt(difference / moved),
    tolerance,
  });
});

test('optim/accumulation', { skip: skipUnless('training/optim/accumulation.json') }, async () => {
  const recorded = readCase('optim/accumulation');
  const batch = batchOf(recorded);
  const got: Record<string, Tensor> = {};
  for (const [name, batches] of [
    ['whole', [batch]],
    ['accumulate2', [shard(batch, 0, 2), shard(batch, 2, 4)]],
  ] as const) {
    await using step = await smallStep({}, 'model.diffusion_model');
    const { gradientNorm, batches: each } = await step.run(batches, { learningRate: 0 });
    for (const [i, { loss }] of each.entries()) got[`${name}.loss${i * 2}`] = float32([], [loss ?? Number.NaN]);
    got[`${name}.gradnorm`] = float32([], [gradientNorm]);
    const sums = await step.gradients();
    for (const [own, sum] of Object.entries(sums))
      got[`${name}.grad.${own}`] = float32(
        sum.shape,
        (sum.data as Float32Array).map((value) => value / batches.length),
      );
  }
  compareCase(recorded, (name) => got[name]);
});

for (const name of ['clip_norm_active', 'clip_norm_inactive']) {
  test(`optim/${name}`, { skip: skipUnless(`training/optim/${name}.json`) }, async () => {
    const recorded = readCase(`optim/${name}`);
    // Plain SGD at rate 1 moves each parameter by its clipped gradient.
    await using step = await smallStep(
      { clipNorm: Number(recorded.settings['max_norm']), optimiser: { kind: 'sgd' } },
      'model.diffusion_model',
    );
    const before = await step.parameters();
    const { gradientNorm } = await step.run(batchOf(recorded), { learningRate: 1 });
    const moved = await step.parameters();
    const clip = Math.min(1, Number(recorded.settings['max_norm']) / (gradientNorm + 1e-6));
    const clipped = Object.fromEntries(
      Object.entries(await step.gradients()).map(([own, value]) => [
        own,
        float32(
          value.shape,
          (value.data as Float32Array).map((g) => g * clip),
        ),
      ]),
    );
    for (const [own, value] of Object.entries(clipped)) {
      const [from, to] = [before[own]?.data as Float32Array, moved[own]?.data as Float32Array];
      for (let i = 0; i < to.length; i++)
        assert.ok(
          Math.abs((from[i] as number) - (to[i] as number) - (value.data[i] as number)) < 3e-7,
          `${own} moved by another amount than its clipped gradient`,
        );
    }
    const total = Math.sqrt(Object.values(clipped).reduce((sum, value) => sum + norm(value) ** 2, 0));
    compareCase(recorded, (own) =>
      own === 'total_norm'
        ? float32([], [gradientNorm])
        : own === 'clipped_norm'
          ? float32([], [total])
          : clipped[own.slice(5)],
    );
  });
}

test('ddp/shards: gradients averaged over ranks', { skip: skipUnless('training/ddp/shards.json') }, async () => {
  const recorded = readCase('ddp/shards');
  const order = recorded.extra['parameter_order'] as readonly string[];
  const all = batchOf(recorded);
  const got: Record<string, Tensor> = {};
  const single = gradients(lossGraph('model.diffusion_model'), 'loss', [
    'model.diffusion_model.out.2.weight',
    'model.diffusion_model.input_blocks.0.0.weight',
  ]);
  const program = await engine.compile(single, memoryWeights(withPrefix(lossWeights(), 'model.diffusion_model.')));
  for (const world of [1, 2, 4]) {
    await using step = await smallStep({}, 'model.diffusion_model');
    for (let i = 0; i < 3; i++) {
      const batch = Object.fromEntries(names.map((name) => [name, entry(all[name], i)])) as unknown as Batch;
      const shards = Array.from({ length: world }, (_, rank) =>
        shard(batch, (rank * 8) / world, ((rank + 1) * 8) / world),
      );
      if (i === 0) {
        for (const [rank, own] of shards.entries()) {
          for (const [name, value] of Object.entries(await program.run(own)))
            got[`world${world}.rank${rank}.${name}`] = value;
        }
      }
      const { loss, batches } = await step.run(shards, { learningRate: 2e-3 });
      got[`world${world}.loss${i}`] = float32([], [loss]);
      got[`world${world}.rank_losses${i}`] = vector(batches.map((metrics) => metrics['loss'] ?? Number.NaN));
      if (i > 0) continue;
      const sums = await step.gradients();
      const mean = (name: string): Tensor =>
        float32(
          sums[name]?.shape ?? [],
          ((sums[name]?.data ?? []) as Float32Array).map((value) => value / world),
        );
      for (const name of step.trained) got[`world${world}.grad.${name}`] = mean(name);
      got[`world${world}.gradnorms`] = vector(
        order.map((name) => norm(mean(step.trained.includes(name) ? name : `model.${name}`))),
      );
    }
  }
  await program.dispose();
  compareCase(recorded, (name) => got[name]);
});

test('ddp/batch_norm_shards: each shard has its own statistics', {
  skip: skipUnless('training/ddp/batch_norm_shards.json'),
}, async () => {
  const recorded = readCase('ddp/batch_norm_shards');
  const x = recorded.input('x');
  const graph = trace({ x: { dtype: 'float32', shape: [dim('batch'), 3, 4, 4] } }, (given, p) => ({
    y: batchNorm(given.x, p.get('weight', [3]), p.get('bias', [3]), { epsilon: 1e-5 }).y,
  }));
  const weights = new Map([
    ['weight', float32([3], [1, 1, 1])],
    ['bias', float32([3], [0, 0, 0])],
  ]);
  const run = async (value: Tensor): Promise<number[]> => [
    ...(((await runGraph(engine, graph, { x: value }, weights))['y']?.data ?? []) as Float32Array),
  ];
  const got: Readonly<Record<string, Tensor>> = {
    whole: float32(x.shape, await run(x)),
    two_shards: float32(x.shape, [...(await run(rows(x, 0, 2))), ...(await run(rows(x, 2, 4)))]),
  };
  compareCase(recorded, (name) => got[name]);
});

/** A tiny problem for behaviour that needs no reference. */
const tinyGraph = trace({ x: { dtype: 'float32', shape: [dim('batch'), 3] } }, ({ x }, p) => {
  const y = mul(mul(x, p.get('a', [3])), p.get('b', [1]));
  return { loss: mean(mul(y, y)), y };
});
const tinyWeights = memoryWeights(
  new Map([
    ['a', float32([3], [1, 2, 3])],
    ['b', float32([1], [0.5])],
  ]),
);
const tinyBatch = (seed: number): Readonly<Record<string, Tensor>> => ({
  x: float32(
    [2, 3],
    Array.from({ length: 6 }, (_, i) => Math.sin(seed + i)),
  ),
});

test('a restored run goes on to the same bits', async () => {
  const options: TrainStepOptions = {
    engine,
    graph: tinyGraph,
    weights: tinyWeights,
    average: { decay: 0.99 },
    clipNorm: 0.5,
  };
  const run = async (step: TrainStep, from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) await step.run([tinyBatch(i), tinyBatch(i + 100)], { learningRate: 1e-2 });
  };
  await using whole = await createTrainStep(options);
  await run(whole, 0, 6);
  await using first = await createTrainStep(options);
  await run(first, 0, 3);
  await using second = await createTrainStep(options);
  await second.restore(await first.save());
  await run(second, 3, 6);
  const [want, got] = [await whole.save(), await second.save()];
  assert.deepEqual(got, want);
  assert.equal(want.counts.steps, 6);
  await assert.rejects(second.restore({ tensors: { other: float32([1], [0]) } }), { code: 'shape-mismatch' });
});

test('a network of many kinds of layers repeats to the bit on two threads', {
  skip: skipUnless('training/optim/train_8_steps.json'),
}, async () => {
  const all = batchOf(readCase('optim/train_8_steps'));
  const batch = Object.fromEntries(names.map((name) => [name, entry(all[name], 0)]));
  const runs: Readonly<Record<string, Tensor>>[] = [];
  for (let i = 0; i < 2; i++) {
    await using step = await smallStep();
    for (let k = 0; k < 2; k++) await step.run(batch, { learningRate: 1e-3 });
    runs.push(await step.parameters());
  }
  assert.deepEqual(runs[0], runs[1]);
});

test('a loss that is not finite changes nothing', async () => {
  const graph = trace({ x: { dtype: 'float32', shape: [3] } }, ({ x }, p) => ({ loss: mean(div(p.get('a', [3]), x)) }));
  await using step = await createTrainStep({ engine, graph, weights: tinyWeights });
  const before = await step.parameters();
  await assert.rejects(step.run({ x: float32([3], [0, 1, 2]) }, { learningRate: 1e-2 }), { code: 'not-finite' });
  assert.deepEqual(await step.parameters(), before);
  assert.equal(step.steps, 0);
});

test('groups: a part is fixed, a part learns at its own rate, the rest decays without', async () => {
  await using step = await createTrainStep({
    engine,
    graph: tinyGraph,
    weights: tinyWeights,
    optimiser: { kind: 'sgd' },
    treatment: (name) => (name === 'a' ? { learningRateScale: 10 } : 'fixed'),
  });
  assert.deepEqual(step.trained, ['a']);
  const { tensors } = await step.run(tinyBatch(1), { learningRate: 1e-3 });
  assert.deepEqual(tensors['y']?.shape, [2, 3]);
  const gradient = (await step.gradients())['a']?.data as Float32Array;
  const moved = (await step.parameters())['a']?.data as Float32Array;
  for (let i = 0; i < 3; i++)
    assert.ok(Math.abs((moved[i] as number) - (i + 1 - 1e-2 * (gradient[i] as number))) < 1e-6);
});
