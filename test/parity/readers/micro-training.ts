/**
 * A small text-conditional diffusion model trained from nothing: its losses must stay in the band of three runs of the original code.
 * Random numbers differ, so only the band is compared. By default the first 50 steps; SD_LONG=1 makes all of them.
 */

import { bertEmbedderConfigSchema, unetConfigSchema } from '../../../src/config/network-config.ts';
import { betaSchedule } from '../../../src/diffusion/beta-schedule.ts';
import { ddpmBuffers } from '../../../src/diffusion/noise-schedule.ts';
import { dim } from '../../../src/graph/dim.ts';
import type { Graph } from '../../../src/graph/graph.ts';
import { trace } from '../../../src/graph/trace.ts';
import { bertEmbedder } from '../../../src/models/bert-embedder.ts';
import { unet } from '../../../src/models/unet.ts';
import { TorchGenerator } from '../../../src/random/torch-generator.ts';
import { float32, int64, type Tensor } from '../../../src/tensor/tensor.ts';
import { diffusionLoss } from '../../../src/training/objective/diffusion.ts';
import { initialWeights } from '../../../src/training/step/initial-weights.ts';
import { createTrainStep } from '../../../src/training/step/create-train-step.ts';
import { pick, type Tensors } from '../../tensors.ts';
import { collecting } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import type { Reader, Recorded } from '../reader.ts';
import { type TrainingCase, trainingCase } from '../training-case.ts';

interface Band {
  readonly low: number;
  readonly high: number;
}

const long = process.env['SD_LONG'] === '1';
const shortRun = 50;

export const reader: Reader = {
  set: 'training',
  reads: (row, part) => part === 'micro' && /^from-scratch training/.test(String(row['exercises'])),
  compare: collecting(async (recorded, compare) => {
    const one = trainingCase(recorded);
    const { settings } = one;
    const run = one.json();
    const graph = lossGraph(settings, run.vocabulary.length);
    await using step = await createTrainStep({ engine: parityEngine(), graph, weights: startWeights(graph) });
    const counts = parameterCounts(graph);
    // The original also counts `to_logits`, which has no gradient.
    const logits = run.vocabulary.length * (settings.n_embed + 1);
    compare.exact('parameters', counts, { unet: run.parameters.unet, text: run.parameters.text - logits });

    const evaluation = batchOf(
      one.tensors,
      Array.from({ length: pick(one.tensors, 'in.eval_t').shape[0] ?? 0 }, (_, i) => i),
      pick(one.tensors, 'in.eval_t'),
      pick(one.tensors, 'in.eval_noise'),
    );
    await using evaluate = await parityEngine().compile(graph, initialWeights([], 0), { parameters: 'inputs' });
    const bind = Object.fromEntries(step.trained.map((name) => [name, name]));
    const compareEvaluation = async (done: number): Promise<number | undefined> => {
      const at = run.band_eval.steps.indexOf(done);
      if (at < 0) return undefined;
      const [result] = await evaluate.runBound(step.state, [{ tensors: evaluation, inputs: bind }]);
      const loss = Number(result?.['loss']?.data[0]);
      compare.error(`evaluation after ${done} steps`, outside(loss, run.band_eval.band[at]), 0);
      return loss;
    };
    const steps = long ? settings.steps : Math.min(settings.steps, shortRun);
    const losses: number[] = [];
    let last = await compareEvaluation(0);
    for await (const batch of batches(one, steps)) {
      losses.push((await step.run(batch, { learningRate: settings.lr })).loss);
      last = (await compareEvaluation(losses.length)) ?? last;
    }
    for (let window = 0; 25 * window < steps; window++) {
      const value = mean(losses.slice(25 * window, 25 * window + 25));
      const error = outside(value, run.band_window25_mean.band[window]);
      compare.error(`mean loss of steps ${25 * window} to ${25 * window + 24}`, error, 0);
    }
    if (!long) return compare.skip('later steps', `the first ${steps} of ${settings.steps} steps; all with SD_LONG=1`);
    const { eval_loss_after_300_at_most: most, last_two_windows_mean_at_most: windows } = run.expect;
    compare.error('last evaluation', Math.max(0, (last ?? Number.NaN) - most), 0);
    compare.error('mean loss of the last 50 steps', Math.max(0, mean(losses.slice(-50)) - windows), 0);
  }),
};

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Distance to the band of the original's runs. */
const outside = (value: number, { low, high }: Band): number =>
  Number.isNaN(value) ? Number.POSITIVE_INFINITY : Math.max(0, low - value, value - high);

function lossGraph(settings: Recorded, words: number): Graph {
  const unetConfig = unetConfigSchema.parse({ kind: 'unet', ...settings.unet });
  const { n_embed, n_layer, max_seq_len } = settings;
  const text = bertEmbedderConfigSchema.parse({ kind: 'bert', n_embed, n_layer, vocab_size: words, max_seq_len });
  // The row states the schedule in words: linear_start .0015, linear_end .0195, 1000 steps.
  const schedule = ddpmBuffers(betaSchedule('linear', 1000, { linearStart: 0.0015, linearEnd: 0.0195 }));
  const b = dim('batch');
  const size = settings.unet.image_size;
  const image = { dtype: 'float32', shape: [b, settings.unet.in_channels, size, size] } as const;
  const ids = { dtype: 'int64', shape: [b, max_seq_len] } as const;
  return trace({ x0: image, noise: image, t: { dtype: 'int64', shape: [b] }, ids }, (given, p) => {
    const context = bertEmbedder(p.under('cond_stage_model'), text, given.ids);
    const { loss } = diffusionLoss({ schedule }, given, (x, timesteps) =>
      unet(p.under('model.diffusion_model'), unetConfig, { x, timesteps, context }),
    );
    return { loss };
  });
}

function startWeights(graph: Graph) {
  const parameters = graph.parameters.map(({ name, value }) => ({ name, shape: value.shape.map(Number) }));
  return initialWeights(parameters, 1);
}

function parameterCounts({ parameters }: Graph): { readonly unet: number; readonly text: number } {
  const counts = { unet: 0, text: 0 };
  for (const { name, value } of parameters)
    counts[name.startsWith('model.') ? 'unet' : 'text'] += value.shape.map(Number).reduce((a, b) => a * b, 1);
  return counts;
}

/** Pictures [rows, height, width, 3] of bytes as planes of -1 to 1, with their token ids. */
function batchOf(data: Tensors, indices: readonly number[], t: Tensor, noise: Tensor): Record<string, Tensor> {
  const pictures = pick(data, 'in.images_u8');
  const [, height = 0, width = 0, channels = 0] = pictures.shape;
  const plane = height * width;
  const ids = pick(data, 'in.token_ids');
  const length = ids.shape[1] ?? 0;
  const x0 = new Float32Array(indices.length * channels * plane);
  for (const [row, index] of indices.entries())
    for (let i = 0; i < channels * plane; i++) {
      const to = row * channels * plane + (i % channels) * plane + Math.floor(i / channels);
      x0[to] = Number(pictures.data[index * channels * plane + i]) / 127.5 - 1;
    }
  const tokens = indices.flatMap((index) => Array.from({ length }, (_, i) => Number(ids.data[length * index + i])));
  return {
    x0: float32([indices.length, channels, height, width], x0),
    ids: int64([indices.length, length], tokens),
    t,
    noise,
  };
}

/** Batches drawn from a generator of ours. */
async function* batches({ tensors, settings }: TrainingCase, steps: number): AsyncGenerator<Record<string, Tensor>> {
  const generator = new TorchGenerator(7);
  const size: number = settings.batch;
  const draw = (below: number): number[] =>
    [...generator.rand([size]).data].map((value) => Math.min(below - 1, Math.floor(value * below)));
  const [pictures = 0, height = 0, width = 0, channels = 0] = pick(tensors, 'in.images_u8').shape;
  for (let i = 0; i < steps; i++) {
    const indices = draw(pictures);
    const t = int64([size], draw(1000));
    yield batchOf(tensors, indices, t, generator.normal([size, channels, height, width], 0, 1));
  }
}
