/** Optimisers, averages, learning-rate schedules and the scale of latents against PyTorch's and LDM's trajectories. */

import { klConfigSchema } from '../../../src/config/network-config.ts';
import { transpose } from '../../../src/graph/functions.ts';
import { encodeKl, samplePosterior } from '../../../src/models/autoencoder-kl.ts';
import { float32, type Tensor, zeros } from '../../../src/tensor/tensor.ts';
import { scaleByStd } from '../../../src/training/latent/scale-by-std.ts';
import { averageRate } from '../../../src/training/step/exponential-average.ts';
import {
  cosineCycles,
  type LearningRateSchedule,
  linearCycles,
  warmUpCosine,
} from '../../../src/training/step/learning-rate.ts';
import { Optimiser, type OptimiserConfig, stateNames } from '../../../src/training/step/optimiser.ts';
import { runGraph, traceLike } from '../../graph/run-graph.ts';
import { stack } from '../analytic-model.ts';
import { collecting, type Comparisons, listDifference } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { type IndexRow, originalOf, type Reader, type Recorded, type RecordedCase } from '../reader.ts';
import { compareOutputs, entryOf, named, scalar, type TrainingCase, trainingCase } from '../training-case.ts';

type Compare = (one: TrainingCase, compare: Comparisons, recorded: RecordedCase) => Promise<void> | void;
/** Kinds by what the row exercises. */
const kinds: readonly (readonly [RegExp, Compare])[] = [
  [/^optimiser on three tensors/, compareOptimiser],
  [/^LitEma/, compareAverage],
  [/^multiplier at steps/, compareSchedules],
  [/^scale_factor = 1\/std/, compareScale],
];
const kindOf = ({ exercises }: IndexRow) => kinds.find(([pattern]) => pattern.test(String(exercises)))?.[1];

export const reader: Reader = {
  set: 'training',
  reads: (row, part) => part === 'optim' && row['skipped'] === undefined && kindOf(row) !== undefined,
  compare: collecting((recorded, compare) => kindOf(recorded.row)?.(trainingCase(recorded), compare, recorded)),
};

const row = (value: Tensor, index: number): Tensor<'float32'> => entryOf(value, index) as Tensor<'float32'>;

/** PyTorch's classes, with their defaults. */
const optimisers: Readonly<Record<string, (settings: Recorded) => { config: OptimiserConfig; decay: number }>> = {
  'torch.optim.AdamW': ({ betas, eps, weight_decay = 0.01 }) => ({
    config: { kind: 'adamw', ...(betas && { betas }), ...(eps && { epsilon: eps }) },
    decay: weight_decay,
  }),
  'torch.optim.Adam': ({ betas, eps, weight_decay = 0 }) => ({
    config: { kind: 'adam', ...(betas && { betas }), ...(eps && { epsilon: eps }) },
    decay: weight_decay,
  }),
  'torch.optim.SGD': ({ momentum = 0, nesterov = false, weight_decay = 0 }) => ({
    config: { kind: 'sgd', momentum, nesterov },
    decay: weight_decay,
  }),
};

async function compareOptimiser(one: TrainingCase, compare: Comparisons, recorded: RecordedCase): Promise<void> {
  const { settings } = one;
  const { config, decay } = named(optimisers, originalOf(recorded.row))(settings);
  const optimiser = new Optimiser(parityEngine(), config);
  await using state = parityEngine().createState();
  const names = [...one.tensors.keys()].flatMap((key) => /^in\.(p\d+)$/.exec(key)?.[1] ?? []).sort();
  const steps = new Map<string, number>();
  const history = new Map<string, Tensor<'float32'>[]>(names.map((own) => [own, []]));
  for (const own of names) {
    const start = one.input(own);
    await state.write({ [own]: start, [stateNames.gradient(own)]: zeros('float32', start.shape) });
    for (const slot of optimiser.slots)
      await state.write({ [stateNames.slot(slot, own)]: zeros('float32', start.shape) });
  }
  const without: Readonly<Record<string, number>> = settings.no_gradient ?? {};
  for (let step = 0; step < settings.steps; step++) {
    const updated = names.filter((_, i) => without[step] !== i);
    for (const own of updated) {
      steps.set(own, (steps.get(own) ?? 0) + 1);
      await state.write({ [stateNames.gradient(own)]: row(one.input(own.replace('p', 'g')), step) });
    }
    const updates = updated.map((own) => ({
      name: own,
      step: steps.get(own) ?? 0,
      learningRate: settings.lr,
      weightDecay: decay,
      gradientScale: 1,
    }));
    await optimiser.apply(state, updates);
    const now = await state.read(names);
    for (const own of names) history.get(own)?.push(now[own] as Tensor<'float32'>);
  }
  compareOutputs(one, compare, (own) => stack(history.get(own) ?? []));
  await optimiser.dispose();
}

/** The average of a parameter that moves along a recorded path. */
async function compareAverage(one: TrainingCase, compare: Comparisons): Promise<void> {
  const { decay, use_num_updates: useNumUpdates } = one.settings;
  const path = one.input('traj');
  // A step of size 0 leaves the parameter alone: what remains is the average.
  const optimiser = new Optimiser(parityEngine(), { kind: 'sgd' });
  await using state = parityEngine().createState();
  const start = row(path, 0);
  const [gradient, average] = [stateNames.gradient('p'), stateNames.average('p')];
  await state.write({ p: start, [gradient]: zeros('float32', start.shape), [average]: start });
  const shadows: Tensor<'float32'>[] = [];
  for (let n = 1; n < (path.shape[0] ?? 0); n++) {
    await state.write({ p: row(path, n) });
    const rate = averageRate({ decay, useNumUpdates }, n);
    const update = { name: 'p', step: n, learningRate: 0, weightDecay: 0, gradientScale: 1, averageRate: rate };
    await optimiser.apply(state, [update]);
    shadows.push((await state.read([average]))[average] as Tensor<'float32'>);
  }
  compareOutputs(one, compare, () => stack(shadows));
  await optimiser.dispose();
}

const scheduleClasses: Readonly<Record<string, (params: never) => LearningRateSchedule>> = {
  LambdaLinearScheduler: linearCycles,
  LambdaWarmUpCosineScheduler: warmUpCosine,
  LambdaWarmUpCosineScheduler2: cosineCycles,
};

function compareSchedules(one: TrainingCase, compare: Comparisons, recorded: RecordedCase): void {
  const { max_abs }: Recorded = recorded.row['tolerance'];
  for (const [name, { class: original, params, values }] of Object.entries<Recorded>(one.json())) {
    const schedule = named(scheduleClasses, original)(params as never);
    const got = Array.from(values, (_, step) => schedule(step));
    compare.error(name, listDifference(got, values), max_abs);
  }
}

async function compareScale(one: TrainingCase, compare: Comparisons): Promise<void> {
  const inputs = { image: one.input('image_bhwc'), noise: one.input('posterior_noise') };
  const config = klConfigSchema.parse({ kind: 'kl', ...one.settings });
  const graph = traceLike(inputs, (given, p) => ({
    z: samplePosterior(encodeKl(p, config, transpose(named(given, 'image'), [0, 3, 1, 2])), named(given, 'noise')),
  }));
  const { z } = await runGraph(parityEngine(), graph, inputs, one.weights(one.weightsNames[0] ?? ''));
  const factor = await scaleByStd(z as Tensor);
  const scaled = float32(
    z?.shape ?? [],
    Array.from(z?.data ?? [], Number).map((value) => value * factor),
  );
  const made: Readonly<Record<string, Tensor>> = {
    scale_factor: scalar(factor),
    z_scaled: scaled,
    z_std: scalar(1 / (await scaleByStd(scaled))),
  };
  compareOutputs(one, compare, (name) => made[name]);
}
