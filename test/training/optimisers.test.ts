/** Optimisers, averages and learning-rate schedules against PyTorch's and LDM's trajectories. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { klConfigSchema } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { transpose } from '../../src/graph/functions.ts';
import { trace } from '../../src/graph/trace.ts';
import { encodeKl, samplePosterior } from '../../src/models/autoencoder-kl.ts';
import { elementCount, float32, type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { averageRate } from '../../src/training/step/exponential-average.ts';
import {
  cosineCycles,
  type LearningRateSchedule,
  linearCycles,
  warmUpCosine,
} from '../../src/training/step/learning-rate.ts';
import { Optimiser, type OptimiserConfig, stateNames } from '../../src/training/step/optimiser.ts';
import { scaleByStd } from '../../src/training/latent/scale-by-std.ts';
import { runGraph } from '../graph/run-graph.ts';
import { recordParity } from '../parity.ts';
import { reference, skipUnless } from '../reference.ts';
import { compareCase, readCase, readWeights } from './recorded-case.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

/** Part `index` of axis 0. */
function row(value: Tensor, index: number): Tensor<'float32'> {
  const shape = value.shape.slice(1);
  const size = elementCount(shape);
  return float32(shape, (value.data as Float32Array).subarray(index * size, (index + 1) * size));
}

function stack(rows: readonly Tensor[]): Tensor<'float32'> {
  return float32(
    [rows.length, ...(rows[0]?.shape ?? [])],
    rows.flatMap((value) => [...(value.data as Float32Array)]),
  );
}

const optimisers: Readonly<Record<string, { readonly config: OptimiserConfig; readonly decay: number }>> = {
  adamw_defaults: { config: { kind: 'adamw' }, decay: 0.01 },
  adamw_wd: { config: { kind: 'adamw', betas: [0.8, 0.99], epsilon: 1e-6 }, decay: 0.2 },
  adam_gan: { config: { kind: 'adam', betas: [0.5, 0.9] }, decay: 0 },
  adam_l2: { config: { kind: 'adam' }, decay: 0.1 },
  sgd_momentum: { config: { kind: 'sgd', momentum: 0.9, nesterov: true }, decay: 0.01 },
};

for (const [name, { config, decay }] of Object.entries(optimisers)) {
  test(`optim/${name}`, { skip: skipUnless(`training/optim/${name}.json`) }, async () => {
    const recorded = readCase(`optim/${name}`);
    const { settings } = recorded;
    const optimiser = new Optimiser(engine, config);
    await using state = engine.createState();
    const names = ['p0', 'p1', 'p2'];
    const steps = new Map<string, number>();
    const history = new Map<string, Tensor[]>(names.map((own) => [own, []]));
    for (const own of names) {
      const start = recorded.input(own);
      await state.write({ [own]: start, [stateNames.gradient(own)]: zeros('float32', start.shape) });
      for (const slot of optimiser.slots)
        await state.write({ [stateNames.slot(slot, own)]: zeros('float32', start.shape) });
    }
    const without = (settings['no_gradient'] ?? {}) as Readonly<Record<string, number>>;
    for (let step = 0; step < Number(settings['steps']); step++) {
      const updated = names.filter((_, i) => without[step] !== i);
      for (const own of updated) {
        steps.set(own, (steps.get(own) ?? 0) + 1);
        await state.write({ [stateNames.gradient(own)]: row(recorded.input(own.replace('p', 'g')), step) });
      }
      await optimiser.apply(
        state,
        updated.map((own) => ({
          name: own,
          step: steps.get(own) ?? 0,
          learningRate: Number(settings['lr']),
          weightDecay: decay,
          gradientScale: 1,
        })),
      );
      const now = await state.read(names);
      for (const own of names) history.get(own)?.push(now[own] as Tensor);
    }
    compareCase(recorded, (own) => stack(history.get(own) ?? []));
    await optimiser.dispose();
  });
}

for (const name of ['ema_default', 'ema_low_decay', 'ema_no_warmup']) {
  test(`optim/${name}`, { skip: skipUnless(`training/optim/${name}.json`) }, async () => {
    const recorded = readCase(`optim/${name}`);
    const { decay, use_num_updates } = recorded.settings;
    const path = recorded.input('traj');
    // A step of size 0 leaves the parameter alone: what remains is the average.
    const optimiser = new Optimiser(engine, { kind: 'sgd' });
    await using state = engine.createState();
    const start = row(path, 0);
    await state.write({
      p: start,
      [stateNames.gradient('p')]: zeros('float32', start.shape),
      [stateNames.average('p')]: start,
    });
    const shadows: Tensor[] = [];
    for (let n = 1; n < (path.shape[0] ?? 0); n++) {
      await state.write({ p: row(path, n) });
      const rate = averageRate({ decay: Number(decay), useNumUpdates: Boolean(use_num_updates) }, n);
      await optimiser.apply(state, [
        { name: 'p', step: n, learningRate: 0, weightDecay: 0, gradientScale: 1, averageRate: rate },
      ]);
      shadows.push((await state.read([stateNames.average('p')]))[stateNames.average('p')] as Tensor);
    }
    compareCase(recorded, () => stack(shadows));
    await optimiser.dispose();
  });
}

test('the decay is a float32 number, as in the original', () =>
  assert.equal(averageRate({}, 200_000), Math.fround(1 - Math.fround(0.9999))));

const scheduleClasses: Readonly<Record<string, (params: never) => LearningRateSchedule>> = {
  LambdaLinearScheduler: linearCycles,
  LambdaWarmUpCosineScheduler: warmUpCosine,
  LambdaWarmUpCosineScheduler2: cosineCycles,
};

test('optim/lr_schedules', { skip: skipUnless('training/optim/lr_schedules.json') }, () => {
  const file: Readonly<
    Record<string, { readonly class: string; readonly params: object; readonly values: readonly number[] }>
  > = JSON.parse(readFileSync(reference('training/optim/lr_schedules.json'), 'utf8'));
  for (const [name, { class: original, params, values }] of Object.entries(file)) {
    const schedule = scheduleClasses[original]?.(params as never);
    assert.ok(schedule, `no schedule ${original}`);
    const error = values.reduce((largest, value, step) => Math.max(largest, Math.abs(schedule(step) - value)), 0);
    recordParity({
      part: 'training',
      case: 'optim/lr_schedules',
      output: name,
      reference: `ldm/lr_scheduler.py ${original}`,
      error,
      tolerance: 1e-12,
    });
  }
});

test('optim/scale_by_std', { skip: skipUnless('training/optim/scale_by_std.json') }, async () => {
  const recorded = readCase('optim/scale_by_std');
  const image = recorded.input('image_bhwc');
  const noise = recorded.input('posterior_noise');
  const config = klConfigSchema.parse({ kind: 'kl', ...recorded.settings });
  const graph = trace(
    { image: { dtype: 'float32', shape: image.shape }, noise: { dtype: 'float32', shape: noise.shape } },
    (given, p) => ({ z: samplePosterior(encodeKl(p, config, transpose(given.image, [0, 3, 1, 2])), given.noise) }),
  );
  const { z } = await runGraph(engine, graph, { image, noise }, readWeights('nets/autoencoder_kl'));
  const factor = scaleByStd(z as Tensor);
  const scaled = float32(
    z?.shape ?? [],
    ((z?.data ?? new Float32Array()) as Float32Array).map((value) => value * factor),
  );
  const made: Readonly<Record<string, Tensor>> = {
    scale_factor: float32([], [factor]),
    z_scaled: scaled,
    z_std: float32([], [1 / scaleByStd(scaled)]),
  };
  compareCase(recorded, (name) => made[name]);
});
