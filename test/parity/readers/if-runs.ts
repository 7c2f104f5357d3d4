/** DeepFloyd IF's six pipelines whole, from encoded prompts and recorded noise to the bytes of the pictures, with every step. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { diffusersCheckpoint } from '../../../src/checkpoints/diffusers.ts';
import type { Latent } from '../../../src/diffusion/denoiser.ts';
import { diffusersSampler, schedulerOf } from '../../../src/diffusion/diffusers/scheduler.ts';
import type { DiffusersSchedulerConfig } from '../../../src/diffusion/diffusers/scheduler-config.ts';
import { learnedLogVariance, type LearnedPrediction } from '../../../src/diffusion/learned-variance.ts';
import type { Sampler, SamplerStep } from '../../../src/diffusion/sampler.ts';
import type { TaskOptions } from '../../../src/generation/inputs.ts';
import { createImage, type Image } from '../../../src/image/image.ts';
import { imagesToTensor } from '../../../src/image/image-tensor.ts';
import { initImageTensor } from '../../../src/image/init-image.ts';
import { Model } from '../../../src/model/model.ts';
import type { GeneratedImage } from '../../../src/pipelines/events.ts';
import { generate } from '../../../src/pipelines/generate.ts';
import { stageMask, stageSize } from '../../../src/pipelines/pixel-stage.ts';
import { concatenate } from '../../../src/tensor/arithmetic.ts';
import { float32, int64, type Tensor } from '../../../src/tensor/tensor.ts';
import { pick } from '../../tensors.ts';
import { parityEngine } from '../engine.ts';
import { ifWeights } from '../if-weights.ts';
import { type LineageCase, lineageCase } from '../lineage-case.ts';
import { type Comparison, compareTensors, originalOf, type Reader } from '../reader.ts';

/** What the row writes of the scheduler, as its configuration. */
function schedulerConfig({ settings }: LineageCase): DiffusersSchedulerConfig & { readonly _class_name: string } {
  const found = /^(\w+)\((\d+), (\w+), (\w+), (epsilon), thresholding, ratio (\S+)\)$/.exec(settings.scheduler);
  if (!found) throw new Error(`the scheduler ${settings.scheduler} is not known`);
  const [, name = '', count, schedule = '', variance = '', , ratio] = found;
  return {
    _class_name: name,
    num_train_timesteps: Number(count),
    beta_schedule: schedule,
    variance_type: variance,
    prediction_type: 'epsilon',
    thresholding: true,
    dynamic_thresholding_ratio: Number(ratio),
    sample_max_value: settings.sample_max_value,
  };
}

async function modelOf(recorded: LineageCase): Promise<Model> {
  const folder = dirname(String(recorded.row.weights_from).split(' ')[0] ?? '');
  const config = JSON.parse(readFileSync(join(recorded.folder, folder, 'config.json'), 'utf8'));
  const checkpoint = diffusersCheckpoint({
    label: recorded.name,
    unet: { source: await ifWeights(recorded, folder), config: { _class_name: 'UNet2DConditionModel', ...config } },
    scheduler: schedulerConfig(recorded),
    image_scheduler: { num_train_timesteps: 1000, beta_schedule: 'squaredcos_cap_v2' },
  });
  return new Model({ engine: parityEngine(), checkpoint });
}

interface Told extends LearnedPrediction {
  readonly timestep: number;
}

/** The scheduler, which writes down what the model says. */
function listening(config: DiffusersSchedulerConfig & { readonly _class_name: string }, told: Told[]): Sampler {
  const sampler = diffusersSampler(config._class_name, config);
  return {
    ...sampler,
    run(request) {
      const { predictLearned } = request.model;
      if (!predictLearned) throw new Error('the model says no variance');
      const model = {
        ...request.model,
        async predictLearned(x: Latent, timestep: number, signal?: AbortSignal) {
          const said = await predictLearned(x, timestep, signal);
          told.push({ ...said, timestep });
          return said;
        },
      };
      return sampler.run({ ...request, model });
    },
  };
}

const inputNames: Readonly<Record<string, string>> = { pic: 'picture' };

function imageOf(recorded: LineageCase, setting: string): Image | undefined {
  const name = recorded.settings[setting];
  if (name === undefined) return undefined;
  const { shape, data } = recorded.tensor(inputNames[name] ?? name);
  const [height = 0, width = 0, channels = 1] = shape;
  return createImage(width, height, channels as 1 | 3, Uint8Array.from(data as Uint8Array));
}

interface Given {
  readonly image: Image | undefined;
  readonly mask: Image | undefined;
  /** Of the stage before. */
  readonly small: Image | undefined;
}

/** The second stage calls the smaller picture `image`. */
function givenOf(recorded: LineageCase): Given {
  const [image, original] = [imageOf(recorded, 'image'), imageOf(recorded, 'original_image')];
  const mask = imageOf(recorded, 'mask_image');
  return original ? { image: original, mask, small: image } : { image, mask, small: undefined };
}

function* preprocessed(recorded: LineageCase, model: Model, { image, mask, small }: Given): Generator<Comparison> {
  const twice = (x: Tensor<'float32'>): Tensor<'float32'> => concatenate([x, x], 0);
  const isSmall = model.checkpoint.kind === 'enlarge' && !small;
  if (!image) return;
  if (isSmall || small) yield recorded.compare('preprocessed.image', twice(imagesToTensor([small ?? image])));
  if (isSmall) return;
  const size = stageSize(image, model.nativeSize);
  const pixels = twice(initImageTensor(image, { ...size, multiple: model.unit, filter: 'bicubic' }));
  yield recorded.compare(small ? 'preprocessed.original_image' : 'preprocessed.image', pixels);
  if (!mask) return;
  const plane = Float32Array.from(stageMask(mask, size).data, (value) => value / 255);
  yield recorded.compare('preprocessed.mask', twice(float32([1, 1, size.height, size.width], plane)));
}

function optionsOf(recorded: LineageCase, { image, mask, small }: Given, sampler: Sampler): TaskOptions {
  const { settings } = recorded;
  let draws = 0;
  const encoded = (name: string) => ({ context: recorded.input(name) });
  const options = {
    task: mask ? 'inpaint' : image ? 'img2img' : 'txt2img',
    batchSize: recorded.input('prompt_embeds').shape[0],
    encoded: { prompt: encoded('prompt_embeds'), negative: encoded('negative_prompt_embeds') },
    guidanceScale: settings.guidance_scale,
    steps: settings.num_inference_steps ?? settings.timesteps.length,
    sampler,
    noise: 'diffusers',
    noiseSource: { convention: 'diffusers', normal: () => recorded.noise(draws++) },
    watermark: false,
    image,
    mask,
    ...(small ? { small: imagesToTensor([small]) } : {}),
    ...(settings.timesteps ? { samplerSettings: { timesteps: settings.timesteps } } : {}),
    ...(settings.strength === undefined ? {} : { strength: settings.strength }),
    ...(settings.noise_level === undefined ? {} : { noiseLevel: settings.noise_level }),
  };
  return options as unknown as TaskOptions;
}

/** Logarithm of the variance of each step, by the levels of its timestep and of the next. */
function logVariances(recorded: LineageCase, told: readonly Told[]): Latent[] {
  const config = schedulerConfig(recorded);
  const { schedule } = schedulerOf(config._class_name, config);
  return told.map(({ timestep, variance }, i) => {
    const [alphaBar, next] = [schedule.alphaBarAt(timestep), told[i + 1]?.timestep];
    const previous = next === undefined ? 1 : schedule.alphaBarAt(next);
    const beta = 1 - alphaBar / previous;
    return learnedLogVariance(variance, ((1 - previous) / (1 - alphaBar)) * beta, beta);
  });
}

/** Where a mask keeps, the state before it was kept is not to be seen: only what is painted is compared. */
function painted(value: Tensor, mask: Tensor | undefined): Tensor {
  if (!mask) return value;
  const [, channels = 1, height = 1, width = 1] = value.shape;
  const plane = height * width;
  const data = Float32Array.from(value.data as ArrayLike<number>, (v, i) => {
    const image = Math.floor(i / (channels * plane));
    return Number(mask.data[image * plane + (i % plane)]) * v;
  });
  return { dtype: 'float32', shape: value.shape, data };
}

function* steps(recorded: LineageCase, told: readonly Told[], made: readonly SamplerStep[]): Generator<Comparison> {
  const logs = logVariances(recorded, told);
  const mask = recorded.outputs.get('preprocessed.mask');
  for (const [i, { prediction, variance }] of told.entries()) {
    const step = made[i];
    if (!step) throw new Error(`step ${i} was not made`);
    yield recorded.compare(`step${i}.model_output`, concatenate([prediction, variance], 1));
    yield recorded.compare(`step${i}.pred_original_sample`, step.denoised);
    yield recorded.compare(`step${i}.log_variance`, logs[i]);
    const name = `step${i}.prev_sample`;
    const { atol } = recorded.row.outputs[name];
    yield compareTensors(name, painted(step.latent, mask), painted(pick(recorded.outputs, name), mask), atol);
  }
}

function* pictures(recorded: LineageCase, latents: Latent, images: readonly GeneratedImage[]): Generator<Comparison> {
  const [n = 0, c = 0, h = 0, w = 0] = latents.shape;
  const last = Float32Array.from({ length: n * c * h * w }, (_, i) => {
    const [channel, pixel] = [i % c, Math.floor(i / c)];
    const [image, place] = [Math.floor(pixel / (h * w)), pixel % (h * w)];
    const value = latents.data[(image * c + channel) * h * w + place] as number;
    return Math.min(Math.max(value / 2 + 0.5, 0), 1);
  });
  yield recorded.compare('picture', float32([n, h, w, c], last));
  const bytes = Uint8Array.from(images.flatMap(({ image }) => [...image.data]));
  yield recorded.compare('bytes', { dtype: 'uint8', shape: [n, h, w, c], data: bytes });
  const want = pick(recorded.outputs, 'bytes').data as Uint8Array;
  const differing = bytes.filter((value, i) => value !== want[i]).length;
  yield { output: 'bytes that differ', error: differing, tolerance: Math.floor(bytes.length / 100) };
}

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => /^diffusers \S+ IF\w*Pipeline$/.test(originalOf(row)),
  async *compare(raw) {
    const recorded = lineageCase(raw);
    const model = await modelOf(recorded);
    const given = givenOf(recorded);
    yield* preprocessed(recorded, model, given);
    const [told, made]: [Told[], SamplerStep[]] = [[], []];
    const sampler = listening(schedulerConfig(recorded), told);
    for await (const event of generate(model, optionsOf(recorded, given, sampler))) {
      if (event.kind === 'step') made.push(event);
      if (event.kind === 'result') yield* pictures(recorded, event.latents, event.images);
    }
    yield* steps(recorded, told, made);
    const timesteps = told.map(({ timestep }) => timestep);
    yield recorded.compare('timesteps', int64([timesteps.length], timesteps));
    await model.networks.dispose();
  },
};
