/**
 * A small text-conditional diffusion model trained from nothing on 256 drawn pictures: its losses must stay in the band of three runs of
 * the original code. Random numbers differ, so only the band is compared. By default the first 50 steps; SD_LONG=1 makes all 300.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { bertEmbedderConfigSchema, unetConfigSchema } from '../../src/config/network-config.ts';
import { betaSchedule } from '../../src/diffusion/beta-schedule.ts';
import { ddpmBuffers } from '../../src/diffusion/noise-schedule.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { dim } from '../../src/graph/dim.ts';
import { trace } from '../../src/graph/trace.ts';
import { bertEmbedder } from '../../src/models/bert-embedder.ts';
import { unet } from '../../src/models/unet.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { float32, int64, type Tensor } from '../../src/tensor/tensor.ts';
import { diffusionLoss } from '../../src/training/objective/diffusion.ts';
import { initialWeights } from '../../src/training/step/initial-weights.ts';
import { createTrainStep } from '../../src/training/step/train-step.ts';
import { recordParity } from '../parity.ts';
import { reference, skipUnless } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

interface Band {
  readonly low: number;
  readonly high: number;
}
interface Run {
  readonly vocabulary: readonly string[];
  readonly band_window25_mean: { readonly band: readonly Band[] };
  readonly band_eval: { readonly steps: readonly number[]; readonly band: readonly Band[] };
  readonly parameters: { readonly unet: number; readonly text: number };
  readonly expect: { readonly eval_loss_after_300_at_most: number; readonly last_two_windows_mean_at_most: number };
}

const long = process.env['SD_LONG'] === '1';
const steps = long ? 300 : 50;
const batchSize = 8;

const unetConfig = unetConfigSchema.parse({
  kind: 'unet',
  image_size: 32,
  in_channels: 3,
  out_channels: 3,
  model_channels: 32,
  num_res_blocks: 1,
  attention_resolutions: [2, 4],
  channel_mult: [1, 1, 1],
  num_heads: 4,
  use_spatial_transformer: true,
  transformer_depth: 1,
  context_dim: 32,
  use_checkpoint: false,
  legacy: false,
});

test('micro/run', { skip: skipUnless('training/micro/run.json') }, async () => {
  const run: Run = JSON.parse(readFileSync(reference('training/micro/run.json'), 'utf8'));
  const data = readTensors(reference('training/micro/run.safetensors'));
  const text = bertEmbedderConfigSchema.parse({
    kind: 'bert',
    n_embed: 32,
    n_layer: 1,
    vocab_size: run.vocabulary.length,
    max_seq_len: 3,
  });
  const schedule = ddpmBuffers(betaSchedule('linear', 1000, { linearStart: 0.0015, linearEnd: 0.0195 }));
  const b = dim('batch');
  const image = { dtype: 'float32', shape: [b, 3, 32, 32] } as const;
  const graph = trace(
    { x0: image, noise: image, t: { dtype: 'int64', shape: [b] }, ids: { dtype: 'int64', shape: [b, 3] } },
    (given, p) => {
      const context = bertEmbedder(p.under('cond_stage_model'), text, given.ids);
      const { loss } = diffusionLoss({ schedule }, given, (x, timesteps) =>
        unet(p.under('model.diffusion_model'), unetConfig, { x, timesteps, context }),
      );
      return { loss };
    },
  );

  const pixels = pick(data, 'in.images_u8').data as Uint8Array;
  const tokens = pick(data, 'in.token_ids').data as BigInt64Array;
  const batch = (indices: readonly number[], t: Tensor, noise: Tensor): Record<string, Tensor> => {
    const x0 = new Float32Array(indices.length * 3 * 1024);
    for (const [row, index] of indices.entries()) {
      for (let i = 0; i < 3072; i++)
        x0[row * 3072 + (i % 3) * 1024 + Math.floor(i / 3)] = (pixels[index * 3072 + i] as number) / 127.5 - 1;
    }
    return {
      x0: float32([indices.length, 3, 32, 32], x0),
      ids: int64(
        [indices.length, 3],
        indices.flatMap((index) => [...tokens.subarray(3 * index, 3 * index + 3)].map(Number)),
      ),
      t,
      noise,
    };
  };
  const evaluation = batch(
    Array.from({ length: 16 }, (_, i) => i),
    pick(data, 'in.eval_t'),
    pick(data, 'in.eval_noise'),
  );

  await using engine = createNodeEngine({ threads: 2 });
  await using step = await createTrainStep({
    engine,
    graph,
    weights: initialWeights(
      graph.parameters.map(({ name, value }) => ({ name, shape: value.shape as readonly number[] })),
      1,
    ),
  });
  const counts = { unet: 0, text: 0 };
  for (const { name, value } of graph.parameters)
    counts[name.startsWith('model.') ? 'unet' : 'text'] += value.shape.reduce<number>(
      (product, size) => product * Number(size),
      1,
    );
  // The original also counts `to_logits`, which has no gradient.
  assert.deepEqual(counts, { unet: run.parameters.unet, text: run.parameters.text - run.vocabulary.length * 33 });

  const outside = (value: number, { low, high }: Band): number => Math.max(0, low - value, value - high);
  const evaluate = await engine.compile(graph, initialWeights([], 0), { parameters: 'inputs' });
  const bind = Object.fromEntries(step.trained.map((name) => [name, name]));
  const compareEvaluation = async (done: number): Promise<number | undefined> => {
    const at = run.band_eval.steps.indexOf(done);
    if (at < 0) return undefined;
    const [result] = await evaluate.runBound(step.state, [{ tensors: evaluation, inputs: bind }]);
    const loss = Number(result?.['loss']?.data[0]);
    recordParity({
      part: 'training',
      case: 'micro/run',
      output: `evaluation after ${done} steps`,
      error: outside(loss, run.band_eval.band[at] as Band),
      tolerance: 0,
      note: `distance to the band of three runs of the original${long ? '' : '; the first 50 of 300 steps, all with SD_LONG=1'}`,
    });
    return loss;
  };

  const generator = new TorchGenerator(7);
  const losses: number[] = [];
  await compareEvaluation(0);
  let last: number | undefined;
  for (let i = 0; i < steps; i++) {
    const draw = (below: number): number[] =>
      [...generator.rand([batchSize]).data].map((value) => Math.min(below - 1, Math.floor(value * below)));
    const indices = draw(256);
    const { loss } = await step.run(
      batch(indices, int64([batchSize], draw(1000)), generator.normal([batchSize, 3, 32, 32], 0, 1)),
      { learningRate: 1e-3 },
    );
    losses.push(loss);
    last = (await compareEvaluation(i + 1)) ?? last;
  }
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  for (let window = 0; window < steps / 25; window++) {
    const value = mean(losses.slice(25 * window, 25 * window + 25));
    recordParity({
      part: 'training',
      case: 'micro/run',
      output: `mean loss of steps ${25 * window} to ${25 * window + 24}`,
      error: outside(value, run.band_window25_mean.band[window] as Band),
      tolerance: 0,
    });
  }
  if (!long) return;
  assert.ok(
    last !== undefined && last <= run.expect.eval_loss_after_300_at_most,
    `evaluation loss ${last} after 300 steps`,
  );
  assert.ok(mean(losses.slice(250)) <= run.expect.last_two_windows_mean_at_most);
  await evaluate.dispose();
});
