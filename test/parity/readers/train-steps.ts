/** Whole training steps: LDM's trajectory of eight steps, accumulation, clipping, shards over ranks. */

import { dim } from '../../../src/graph/dim.ts';
import { gradients } from '../../../src/graph/gradients.ts';
import type { Graph } from '../../../src/graph/graph.ts';
import { type Sym, trace } from '../../../src/graph/trace.ts';
import { unet } from '../../../src/models/unet.ts';
import { batchNorm } from '../../../src/nn/batch-norm.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { diffusionLoss } from '../../../src/training/objective/diffusion.ts';
import { linearCycles } from '../../../src/training/step/learning-rate.ts';
import { createTrainStep } from '../../../src/training/step/create-train-step.ts';
import type { TrainStepOptions } from '../../../src/training/step/step-options.ts';
import type { TrainStep } from '../../../src/training/step/train-step.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { runGraph } from '../../graph/run-graph.ts';
import { pick } from '../../tensors.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { ldmSchedule, lossUnet, underPrefix } from '../loss-unet.ts';
import type { IndexRow, Reader } from '../reader.ts';
import {
  compareOutputs,
  entryOf,
  named,
  norm,
  rowsOf,
  scalar,
  type TrainingCase,
  trainingCase,
  vector,
} from '../training-case.ts';

type Compare = (one: TrainingCase, compare: Comparisons) => Promise<void>;
/** Kinds by what the row exercises. */
const kinds: readonly (readonly [RegExp, Compare])[] = [
  [/consecutive steps of LatentDiffusion/, compareTrajectory],
  [/^two micro-batches/, compareAccumulation],
  [/^gradient clipping by global norm/, compareClipping],
  [/^gradient averaged over .* shards/, compareShards],
  [/^batch norm in train mode/, compareBatchNorm],
];
const kindOf = ({ exercises }: IndexRow) => kinds.find(([pattern]) => pattern.test(String(exercises)))?.[1];

export const reader: Reader = {
  set: 'training',
  reads: (row, part) =>
    (part === 'optim' || part === 'ddp') && row['skipped'] === undefined && kindOf(row) !== undefined,
  compare: collecting((recorded, compare) => kindOf(recorded.row)?.(trainingCase(recorded), compare)),
};

const inputNames = ['x0', 'noise', 't', 'c'] as const;
type Batch = Readonly<Record<(typeof inputNames)[number], Tensor>>;

export const batchOf = (tensorOf: (name: (typeof inputNames)[number]) => Tensor): Batch => ({
  x0: tensorOf('x0'),
  noise: tensorOf('noise'),
  t: tensorOf('t'),
  c: tensorOf('c'),
});
export const shard = (batch: Batch, from: number, to: number): Batch =>
  batchOf((name) => rowsOf(batch[name], from, to));
export const whole = 'model.diffusion_model';

/** p_losses of the small UNet for any batch. */
export function lossGraph(prefix: string): Graph {
  const b = dim('batch');
  const image = { dtype: 'float32', shape: [b, 4, 8, 8] } as const;
  const context = { dtype: 'float32', shape: [b, dim('tokens'), 16] } as const;
  return trace({ x0: image, noise: image, t: { dtype: 'int64', shape: [b] }, c: context }, (given, p) => {
    const result = diffusionLoss({ schedule: ldmSchedule() }, given, (x, timesteps) =>
      unet(p.under(prefix), lossUnet, { x, timesteps, context: given.c }),
    );
    return { loss: result.loss, loss_vlb: result.metrics['loss_vlb'] as Sym };
  });
}

export const unetWeights = (one: TrainingCase, prefix: string): Map<string, Tensor> =>
  underPrefix(one.weights(one.weightsNames[0] ?? ''), `${prefix}.`);

/** The step of the small UNet on the case's weights. */
export function smallStep(
  one: TrainingCase,
  prefix: string,
  options: Partial<TrainStepOptions> = {},
): Promise<TrainStep> {
  const weights = memoryWeights(unetWeights(one, prefix));
  return createTrainStep({ engine: parityEngine(), graph: lossGraph(prefix), weights, ...options });
}

const scaled = (value: Tensor, factor: number): Tensor =>
  float32(
    value.shape,
    (value.data as Float32Array).map((element) => element * factor),
  );

async function compareTrajectory(one: TrainingCase, compare: Comparisons): Promise<void> {
  const { settings, extra } = one;
  const order: readonly string[] = extra.parameter_order;
  const sampleIndex = one.input('sample_index').data as BigInt64Array;
  const schedule = linearCycles(settings.scheduler);
  await using step = await smallStep(one, 'diffusion_model', { average: { decay: 0.9999 } });
  compare.exact('trained parameters', [...step.trained].sort(), [...order].sort());
  const history: Record<string, number[]> = {};
  const add = (name: string, ...values: number[]): void => {
    history[name] ??= [];
    history[name].push(...values);
  };
  for (let i = 0; i < settings.steps; i++) {
    const learningRate = settings.lr * schedule(i);
    const { loss } = await step.run({ ...batchOf((name) => entryOf(one.input(name), i)) }, { learningRate });
    const [gradient, parameters, averages] = [await step.gradients(), await step.parameters(), await step.averages()];
    add('losses', loss);
    add('lr', learningRate);
    const samples = sampleIndex.length / order.length;
    for (const [at, name] of order.entries()) {
      add('grad_norms', norm(named(gradient, name)));
      add('param_norms', norm(named(parameters, name)));
      add('ema_norms', norm(named(averages, name)));
      for (let k = 0; k < samples; k++)
        add('param_samples', Number(named(parameters, name).data[Number(sampleIndex[samples * at + k])]));
    }
  }
  const [parameters, averages] = [await step.parameters(), await step.averages()];
  compareOutputs(one, compare, (name) => {
    if (history[name]) return vector(history[name]);
    if (name === 'ema_num_updates') return scalar(step.counts.averageUpdates);
    return name.startsWith('final.') ? parameters[name.slice(6)] : averages[name.slice(4)];
  });
  compare.error('update_rel_l2', updateError(one, parameters), extra.update_rel_l2.tolerance);
}

/** The main check of the case: how far the whole update is from PyTorch's, relative to its length. */
function updateError(one: TrainingCase, parameters: Readonly<Record<string, Tensor>>): number {
  const rounding = new Set<string>(one.extra.parameters_with_zero_gradient);
  const start = unetWeights(one, 'diffusion_model');
  let [difference, moved] = [0, 0];
  for (const name of (one.extra.parameter_order as readonly string[]).filter((own) => !rounding.has(own))) {
    const want = pick(one.tensors, `out.final.${name}`).data as Float32Array;
    const got = named(parameters, name).data as Float32Array;
    const from = (start.get(name)?.data ?? []) as Float32Array;
    for (const [i, value] of want.entries()) {
      difference += ((got[i] as number) - value) ** 2;
      moved += (value - (from[i] as number)) ** 2;
    }
  }
  return Math.sqrt(difference / moved);
}

async function compareAccumulation(one: TrainingCase, compare: Comparisons): Promise<void> {
  const batch = batchOf(one.input);
  const half = (batch.x0.shape[0] ?? 0) / 2;
  const got: Record<string, Tensor> = {};
  for (const [name, batches] of [
    ['whole', [batch]],
    ['accumulate2', [shard(batch, 0, half), shard(batch, half, 2 * half)]],
  ] as const) {
    await using step = await smallStep(one, whole);
    const { gradientNorm, batches: each } = await step.run(batches, { learningRate: 0 });
    for (const [i, { loss }] of each.entries()) got[`${name}.loss${i * half}`] = scalar(loss ?? Number.NaN);
    got[`${name}.gradnorm`] = scalar(gradientNorm);
    for (const [own, sum] of Object.entries(await step.gradients()))
      got[`${name}.grad.${own}`] = scaled(sum, 1 / batches.length);
  }
  compareOutputs(one, compare, (name) => got[name]);
}

async function compareClipping(one: TrainingCase, compare: Comparisons): Promise<void> {
  const clipNorm: number = one.settings.max_norm;
  // Plain SGD at rate 1 moves each parameter by its clipped gradient.
  await using step = await smallStep(one, whole, { clipNorm, optimiser: { kind: 'sgd' } });
  const before = await step.parameters();
  const { gradientNorm } = await step.run({ ...batchOf(one.input) }, { learningRate: 1 });
  const after = await step.parameters();
  const clip = Math.min(1, clipNorm / (gradientNorm + 1e-6));
  const clipped: Record<string, Tensor> = {};
  let error = 0;
  for (const [own, gradient] of Object.entries(await step.gradients())) {
    clipped[own] = scaled(gradient, clip);
    for (const [i, amount] of (clipped[own].data as Float32Array).entries())
      error = Math.max(error, Math.abs(Number(before[own]?.data[i]) - Number(after[own]?.data[i]) - amount));
  }
  compare.error('parameters moved by the clipped gradient', error, 3e-7);
  const total = Math.sqrt(Object.values(clipped).reduce((sum, value) => sum + norm(value) ** 2, 0));
  compareOutputs(one, compare, (own) => {
    if (own === 'total_norm') return scalar(gradientNorm);
    return own === 'clipped_norm' ? scalar(total) : clipped[own.slice(5)];
  });
}

async function compareShards(one: TrainingCase, compare: Comparisons): Promise<void> {
  const { settings, extra, tolerance } = one;
  const order: readonly string[] = extra.parameter_order;
  const worlds = new Set(
    Object.keys(tolerance)
      .flatMap((key) => /^out\.world(\d+)\./.exec(key)?.[1] ?? [])
      .map(Number),
  );
  const single = gradients(lossGraph(whole), 'loss', [`${whole}.out.2.weight`, `${whole}.input_blocks.0.0.weight`]);
  await using program = await parityEngine().compile(single, memoryWeights(unetWeights(one, whole)));
  const got: Record<string, Tensor> = {};
  for (const world of worlds) {
    await using step = await smallStep(one, whole);
    for (let i = 0; i < settings.steps; i++) {
      const batch = batchOf((name) => entryOf(one.input(name), i));
      const size = settings.batch / world;
      const shards = Array.from({ length: world }, (_, rank) => shard(batch, rank * size, (rank + 1) * size));
      for (const [rank, own] of i === 0 ? shards.entries() : [])
        for (const [name, value] of Object.entries(await program.run({ ...own })))
          got[`world${world}.rank${rank}.${name}`] = value;
      const { loss, batches } = await step.run(shards, { learningRate: settings.lr });
      got[`world${world}.loss${i}`] = scalar(loss);
      got[`world${world}.rank_losses${i}`] = vector(batches.map((metrics) => metrics['loss'] ?? Number.NaN));
      if (i > 0) continue;
      const sums = await step.gradients();
      const mean = (name: string): Tensor => scaled(named(sums, name), 1 / world);
      for (const name of step.trained) got[`world${world}.grad.${name}`] = mean(name);
      const norms = order.map((name) => norm(mean(step.trained.includes(name) ? name : `model.${name}`)));
      got[`world${world}.gradnorms`] = vector(norms);
    }
  }
  compareOutputs(one, compare, (name) => got[name]);
}

/** Batch norm with the statistics of `x`. */
export async function normalised(one: TrainingCase, x: Tensor): Promise<number[]> {
  const [, channels = 0, ...size] = x.shape;
  const graph = trace({ x: { dtype: 'float32', shape: [dim('batch'), channels, ...size] } }, (given, p) => ({
    y: batchNorm(given.x, p.get('weight', [channels]), p.get('bias', [channels]), { epsilon: one.settings.eps }).y,
  }));
  const weights = new Map([
    ['weight', float32([channels], new Float32Array(channels).fill(1))],
    ['bias', float32([channels], new Float32Array(channels))],
  ]);
  const { y } = await runGraph(parityEngine(), graph, { x }, weights);
  return Array.from(y?.data ?? [], Number);
}

/** Each shard has its own statistics. */
async function compareBatchNorm(one: TrainingCase, compare: Comparisons): Promise<void> {
  const x = one.input('x');
  const batch = x.shape[0] ?? 0;
  const half = batch / 2;
  const run = (value: Tensor): Promise<number[]> => normalised(one, value);
  const got: Readonly<Record<string, Tensor>> = {
    whole: float32(x.shape, await run(x)),
    two_shards: float32(x.shape, [...(await run(rowsOf(x, 0, half))), ...(await run(rowsOf(x, half, batch)))]),
  };
  compareOutputs(one, compare, (name) => got[name]);
}
