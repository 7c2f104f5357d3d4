/** Whole runs of diffusers' pipelines with SD 2.x and SDXL, through the public pipeline: the latents of the run and of its steps, its noise levels. */

import { join } from 'node:path';
import * as z from 'zod';
import { schedulerOf } from '../../../src/diffusion/diffusers/scheduler.ts';
import { diffusersSchedulerClasses } from '../../../src/diffusion/diffusers/scheduler-classes.ts';
import type { NoiseSchedule } from '../../../src/diffusion/noise-schedule.ts';
import type { Model } from '../../../src/model/model.ts';
import { expectDType, float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { recordedPictures } from '../../families/recorded-pictures.ts';
import { type MadePictures, type Pictures, runPictures } from '../../families/run-pictures.ts';
import { familyModel, familyYaml } from '../../families/tiny-models.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { collecting, type Comparisons, listDifference } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { originalOf, type Reader } from '../reader.ts';

const texts = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (typeof value === 'string' ? [value] : value));
const pair = z.tuple([z.number(), z.number()]);
/** Settings of diffusers' pipelines that this reader knows; a run with others is not read. */
const settingsSchema = z.strictObject({
  steps: z.number(),
  guidance_scale: z.number(),
  guidance_rescale: z.number().optional(),
  prompt: texts,
  prompt_2: texts.optional(),
  negative: texts.optional(),
  negative_prompt: texts.optional(),
  negative_prompt_2: texts.optional(),
  clip_skip: z.number().optional(),
  eta: z.number().optional(),
  strength: z.number().optional(),
  height: z.number().optional(),
  width: z.number().optional(),
  original_size: pair.optional(),
  target_size: pair.optional(),
  crops_coords_top_left: pair.optional(),
  negative_original_size: pair.optional(),
  negative_target_size: pair.optional(),
  negative_crops_coords_top_left: pair.optional(),
  aesthetic_score: z.number().optional(),
  negative_aesthetic_score: z.number().optional(),
  fraction: z.number().optional(),
  noise_level: z.number().optional(),
  depth_map: z.string().optional(),
  low_res_scheduler: z.string().optional(),
  image_noising_scheduler: z.string().optional(),
  scheduler: z.string(),
  scheduler_config: z.record(z.string(), z.unknown()).optional(),
});
type Settings = z.output<typeof settingsSchema>;
const rowSchema = z.looseObject({
  dir: z.string(),
  model: z.string(),
  outputs: z.record(z.string(), z.looseObject({ atol: z.number().optional(), same_as: z.string().optional() })),
  draw_shapes: z.array(z.array(z.number())),
});
type Row = z.output<typeof rowSchema>;

/** Schedulers that call the network twice a step; the originals count both as steps. */
const twoCalls = /^(Heun|KDPM2)/;

/** The scheduler's class and configuration; some rows describe them in words. */
function schedulerOfRun({ scheduler, scheduler_config: config }: Settings) {
  if (config) return { name: scheduler, config };
  const [, word = ''] = /^(\w+)/.exec(scheduler) ?? [];
  const name = diffusersSchedulerClasses.find(
    (one) => one.startsWith(`${word}Scheduler`) || one.startsWith(`${word}Discrete`),
  );
  const [, start = '0.00085', end = '0.012'] = /betas ([\d.]+)\.\.([\d.]+)/.exec(scheduler) ?? [];
  return {
    name: name ?? word,
    config: {
      beta_start: Number(start),
      beta_end: Number(end),
      beta_schedule: 'scaled_linear',
      clip_sample: false,
      set_alpha_to_one: false,
      steps_offset: 1,
      timestep_spacing: 'leading',
      prediction_type: scheduler.includes('v_prediction') ? 'v_prediction' : 'epsilon',
    },
  };
}

const size = (given: readonly [number, number] | undefined) => given && { height: given[0], width: given[1] };
const crop = (given: readonly [number, number] | undefined) => given && { top: given[0], left: given[1] };
const defined = (fields: object): object =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** The request of one picture, but for its pictures and tensors. */
function requestOf(given: Settings, sampler: string, picture: number, height: number, width: number): object {
  const at = (values: readonly string[] | undefined) => values && (values[picture] ?? values[0]);
  const isGuided = given.guidance_scale > 1;
  const sizes = {
    original: size(given.original_size),
    target: size(given.target_size),
    crop: crop(given.crops_coords_top_left),
    aestheticScore: given.aesthetic_score,
  };
  const negative = {
    original: size(given.negative_original_size),
    target: size(given.negative_target_size),
    crop: crop(given.negative_crops_coords_top_left),
    aestheticScore: given.negative_aesthetic_score,
  };
  return defined({
    prompt: at(given.prompt),
    secondPrompt: at(given.prompt_2),
    negativePrompt: at(given.negative ?? given.negative_prompt) ?? '',
    secondNegativePrompt: at(given.negative_prompt_2),
    emptyNegative: (given.negative ?? given.negative_prompt) === undefined ? undefined : 'encoded',
    clipSkip: given.clip_skip === undefined ? undefined : given.clip_skip + 1,
    steps: given.steps,
    sampler,
    eta: given.eta,
    guidanceScale: isGuided ? given.guidance_scale : 1,
    guidanceRescale: given.guidance_rescale,
    strength: given.strength,
    noiseLevel: given.noise_level,
    sizeConditions: defined({ ...defined(sizes), negative: defined(negative) }),
    height,
    width,
  });
}

/** Pipelines by their class, and what of a run's inputs each takes. */
function taskOf(original: string): 'txt2img' | 'img2img' | 'inpaint' {
  if (/Inpaint/.test(original)) return 'inpaint';
  return /^(?!.*\+).*(2Img|Upscale)/.test(original) ? 'img2img' : 'txt2img';
}

const isTable = /^(timesteps|sigmas|visited.*)$/;

/** Noise levels in the row's tables, from the steps. */
function compareTables(
  { outputs }: Row,
  want: Tensors,
  { steps }: MadePictures,
  schedule: NoiseSchedule,
  compare: Comparisons,
  perStep: number,
  /** The network receives the logarithm of the level (EDM). */
  isContinuous: boolean,
): void {
  const sigmas = steps.map(({ sigma }) => sigma);
  const timesteps = sigmas.map((sigma) => (isContinuous ? 0.25 * Math.log(sigma) : schedule.timestepOfSigma(sigma)));
  const split = want.get('visited.base')?.shape[0] ?? 0;
  const tables: Readonly<Record<string, readonly number[]>> = {
    visited: timesteps,
    timesteps,
    sigmas: [...sigmas, 0],
    'visited.base': timesteps.slice(0, split),
    'visited.refiner': timesteps.slice(split),
  };
  for (const [output, { atol = 0 }] of Object.entries(outputs)) {
    const made = tables[output];
    if (!made) continue;
    const recorded = Array.from(pick(want, output).data as Float32Array);
    // Of the whole schedule the end is run; a step of two calls visits its second timestep again.
    const kept = output === 'timesteps' || output === 'sigmas' ? recorded.slice(-made.length) : recorded;
    const whole = recorded.every(Number.isInteger);
    if (perStep === 2) compare.skip(output, 'a scheduler of two calls a step repeats its timesteps');
    else compare.error(output, listDifference(whole ? made.map(Math.round) : made, kept), Math.max(atol, 1e-3));
  }
}

/** The pictures and tensors that a run of a task starts from. */
function inputsOf(settings: Settings, task: string, folder: string, want: Tensors): object {
  if (task === 'txt2img') return {};
  const [low, embedding] = [want.get('low'), want.get('image_embeds')];
  if (low) return { pixels: low };
  if (embedding) return { imageEmbedding: embedding };
  const { image, mask } = recordedPictures(folder);
  const [, run] = /^depth of (\S+)$/.exec(settings.depth_map ?? '') ?? [];
  const depth = run === undefined ? undefined : readTensors(join(folder, run, 'outputs.safetensors')).get('depth');
  return { image, ...(task === 'inpaint' ? { mask } : {}), ...(depth ? { depth } : {}) };
}

/**
 * The latent that a run began from where it was not recorded, from its first step: x is moved until the step comes out as recorded. The later
 * steps and the result are compared then, the first one is not.
 */
async function startOfFirstStep(
  run: (latent: Tensor<'float32'>) => Promise<Tensor<'float32'>>,
  wanted: Tensor<'float32'>,
): Promise<Tensor<'float32'>> {
  let latent = float32(wanted.shape, new Float32Array(wanted.data.length));
  for (let round = 0; round < 60; round++) {
    const made = await run(latent);
    const missing = wanted.data.map((value, i) => value - (made.data[i] as number));
    if (missing.every((value) => Math.abs(value) < 2e-6)) break;
    latent = float32(
      wanted.shape,
      latent.data.map((value, i) => value + 0.9 * (missing[i] as number)),
    );
  }
  return latent;
}

export const reader: Reader = {
  set: 'families',
  reads: (row, part) =>
    part === 'runs' && row['skipped'] === undefined && settingsSchema.safeParse(row['settings']).success,
  compare: collecting(async ({ row: raw, setFolder: folder }, compare) => {
    const row = rowSchema.parse(raw);
    const settings = settingsSchema.parse(raw['settings']);
    const want = readTensors(join(folder, row.dir, 'outputs.safetensors'));
    const latent = expectDType(pick(want, 'latent'), 'float32');
    const { name, config } = schedulerOfRun(settings);
    const [yaml = '', second] = row.model.split(', ').map(familyYaml);
    await using model: Model = await familyModel(folder, yaml, parityEngine(), config);
    const refiner = second === undefined ? undefined : await familyModel(folder, second, parityEngine(), config);
    const [count = 1, , rows = 1, columns = 1] = latent.shape;
    const task = taskOf(originalOf(raw));
    const inputs = inputsOf(settings, task, folder, want);
    const { schedule } = schedulerOf(name, config as never);
    const options = (begin?: Tensor<'float32'>): Pictures => ({
      count,
      start: want.get('start') as Tensor<'float32'> | undefined,
      noise: { draws: want.get('draws'), shapes: row.draw_shapes },
      convention: 'diffusers',
      options: (picture) => ({
        task,
        ...requestOf(settings, name, picture, rows * model.downsampling, columns * model.downsampling),
        ...(begin ? { latent: begin } : inputs),
        ...(refiner ? { refiner, refinerSwitchAt: settings.fraction } : {}),
      }),
    });
    // An image would draw its posterior's noise before the start noise.
    const isFromLatent = task === 'img2img' && 'image' in inputs && row.draw_shapes.length < 2;
    const first = expectDType(want.get('step.0') ?? latent, 'float32');
    const begin = isFromLatent
      ? await startOfFirstStep(
          async (given) => (await runPictures(model, options(given), 1)).steps[0]?.latent ?? first,
          first,
        )
      : undefined;
    const made = await runPictures(model, options(begin));
    await refiner?.dispose();
    const perStep = twoCalls.test(name) ? 2 : 1;
    compareTables(row, want, made, schedule, compare, perStep, 'sigma_data' in config);
    for (const [output, { atol, same_as: recorded = output }] of Object.entries(row.outputs)) {
      const tolerance = atol ?? row.outputs[recorded]?.atol ?? 0;
      const index = (Number(/^step\.(\d+)$/.exec(output)?.[1] ?? Number.NaN) + 1) / perStep - 1;
      if (output === 'latent') compare.tensor(output, made.latents, latent, tolerance);
      else if (output === 'base_latent')
        compare.tensor(
          output,
          made.steps[(want.get('visited.base')?.shape[0] ?? 0) - 1]?.latent,
          pick(want, output),
          tolerance,
        );
      else if (begin && output === 'step.0')
        compare.skip(output, 'the latent that the run began from was not recorded, and is worked out from this step');
      else if (Number.isInteger(index) && index >= 0)
        compare.tensor(output, made.steps[index]?.latent, pick(want, recorded), tolerance);
      else if (!isTable.test(output)) compare.skip(output, 'an input of the run');
    }
  }),
};
