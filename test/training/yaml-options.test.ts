/** Options of LDM's YAML and main.py apart from the model: several files, kept series of checkpoints, a test pass, saving on request, noised conditions. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mergedDocuments } from '../../src/config/overrides.ts';
import { conditionNoise, noisedCondition } from '../../src/training/latent/noised-condition.ts';
import { scheduleOf } from '../../src/diffusion/model-schedule.ts';
import { type InputSpec, type Sym, trace } from '../../src/graph/trace.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { int64 } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { trainingConfig } from '../../src/training/training-config.ts';
import { autoencoderYaml, eventsOf, trainingRuns } from './training-runs.ts';

const runs = await trainingRuns();
const { folder, options, pictures } = runs;

test('later documents override earlier ones key by key; lists are replaced', () => {
  const merged = mergedDocuments([
    { model: { params: { a: 1, list: [1, 2] } }, data: { x: 1 } },
    { model: { params: { list: [3] } } },
    { model: { base_learning_rate: 2 } },
  ]);
  assert.deepEqual(merged, { model: { params: { a: 1, list: [3] }, base_learning_rate: 2 }, data: { x: 1 } });
});

test('a series of checkpoints is kept, a request saves and the run goes on, and test data are measured at the end', async () => {
  const asked = [false, true];
  const events = await eventsOf({
    ...options(autoencoderYaml(pictures), 'series', [
      'lightning.trainer.max_steps=5',
      'lightning.modelcheckpoint.params.every_n_train_steps=100',
      'lightning.metrics_over_trainsteps_checkpoint.params.every_n_train_steps=4',
      `data.params.test.params.data_root=${pictures}`,
      'training.keep_best=0',
    ]),
    takeSaveRequest: () => asked.shift() ?? false,
  });
  assert.deepEqual(
    events.filter(({ kind }) => kind === 'checkpoint').map((event) => 'step' in event && event.step),
    [2, 4, 5],
  );
  assert.deepEqual(readdirSync(join(folder, 'series', 'checkpoints')).sort(), [
    'last.safetensors',
    'step-00000004.safetensors',
  ]);
  const last = events.findLast(({ kind }) => kind === 'validation');
  assert.ok(last && 'values' in last && Number.isFinite(last.values['test/loss']));
  assert.ok(existsSync(join(folder, 'series', 'model.safetensors')));
});

test("Lightning's save_top_k says how many best checkpoints are kept; -1 keeps all", () => {
  const loopOf = (k: number) =>
    trainingConfig(
      {
        model: { target: 'x.VQModel', base_learning_rate: 1 },
        lightning: { modelcheckpoint: { params: { save_top_k: k, every_n_train_steps: 7 } } },
      },
      'a.yaml',
    ).loop;
  assert.equal(loopOf(5).keepBest, 5);
  assert.equal(loopOf(5).keepEvery, undefined);
  assert.deepEqual([loopOf(-1).keepBest, loopOf(-1).keepEvery], [0, 7]);
});

test('num_timesteps_cond noises the condition of each item at a timestep of its own', async () => {
  const config = {
    beta_schedule: 'linear',
    given_betas: null,
    cosine_s: 0.008,
    num_timesteps_cond: 4,
    timesteps: 10,
    linear_start: 0.001,
    linear_end: 0.2,
  } as Parameters<typeof noisedCondition>[0];
  const c: InputSpec = { dtype: 'float32', shape: [2, 3, 4] };
  const graph = trace({ c, t: { dtype: 'int64', shape: [2] } }, (given) => ({
    out: noisedCondition(config, { context: given.c }, given.t).context as Sym,
  }));
  const generator = new TorchGenerator(1);
  const [value, noise] = [generator.randn([2, 3, 4]), generator.randn([2, 3, 4])];
  const program = await runs.engine.compile(graph, memoryWeights(new Map()));
  const { out } = await program.run({ c: value, t: int64([2], [1, 7]), [conditionNoise]: noise });
  const { alphasCumprod } = scheduleOf(config);
  // Timestep 1 of the first four is 3 of 0 … 9; later ones are the last.
  const bars = [alphasCumprod[3], alphasCumprod[9]] as [number, number];
  const wanted = value.data.map(
    (v, i) => Math.sqrt(bars[i < 12 ? 0 : 1]) * v + Math.sqrt(1 - bars[i < 12 ? 0 : 1]) * (noise.data[i] as number),
  );
  for (const [i, v] of wanted.entries()) assert.ok(Math.abs(v - Number(out?.data[i])) < 1e-6);
  await program.dispose();
  assert.throws(
    () =>
      trace({ c, t: { dtype: 'int64', shape: [2] } }, (given) => ({
        out: noisedCondition(config, { y: given.c }, given.t).y as Sym,
      })),
    /noises one condition/,
  );
});
