/** Whole runs of SD 2.x and SDXL from text at latent level: diffusers' pipelines with their schedulers, and the original samplers of SD 2.x. */

import { join } from 'node:path';
import * as z from 'zod';
import type { Given, PictureSizes } from '../../../src/conditioning/conditioner.ts';
import { diffusersSampler, schedulerOf } from '../../../src/diffusion/diffusers/scheduler.ts';
import { diffusersSchedulerClasses } from '../../../src/diffusion/diffusers/scheduler-classes.ts';
import { diffusersParameterization } from '../../../src/diffusion/diffusers/scheduler-config.ts';
import { type Condition, guidedModel } from '../../../src/diffusion/guidance.ts';
import type { Sampler, SamplerStep } from '../../../src/diffusion/sampler.ts';
import { findSampler } from '../../../src/diffusion/samplers/index.ts';
import type { Model } from '../../../src/model/model.ts';
import { takeBatch } from '../../../src/tensor/batches.ts';
import { expectDType, float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { familyModel } from '../../families/tiny-models.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { type IndexRow, originalOf, type Reader } from '../reader.ts';

const texts = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (typeof value === 'string' ? [value] : value));
const pair = z.tuple([z.number(), z.number()]);
/** Settings of diffusers' pipelines that this reader knows; a run with others is not read. */
const pipelineSchema = z.strictObject({
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
  original_size: pair.optional(),
  target_size: pair.optional(),
  crops_coords_top_left: pair.optional(),
  negative_original_size: pair.optional(),
  negative_target_size: pair.optional(),
  negative_crops_coords_top_left: pair.optional(),
  scheduler: z.enum(diffusersSchedulerClasses as unknown as [string, ...string[]]),
  scheduler_config: z.record(z.string(), z.unknown()),
});
const originalSchema = z.strictObject({
  S: z.number(),
  scale: z.number(),
  eta: z.number(),
  prompts: z.array(z.string()),
  negative: z.string(),
});
const rowSchema = z.looseObject({
  dir: z.string(),
  model: z.string(),
  outputs: z.record(z.string(), z.looseObject({ atol: z.number().optional() })),
  draw_shapes: z.array(z.array(z.number())),
});
type Row = z.output<typeof rowSchema>;

interface Run {
  readonly condition: Condition;
  readonly unconditional: Condition | undefined;
  readonly sampler: Sampler;
  readonly steps: number;
  readonly scale: number;
  readonly rescale?: number | undefined;
  readonly eta?: number | undefined;
}

/** Schedulers that call the network twice a step; the originals count both as steps. */
const twoCalls = /^(Heun|KDPM2)/;

/** The original samplers by class. */
const originals: ReadonlyMap<RegExp, string> = new Map([
  [/DDIMSampler/, 'ddim'],
  [/PLMSSampler/, 'plms'],
  [/DPMSolverSampler/, 'dpm-solver'],
]);
const originalSampler = (row: IndexRow): string | undefined =>
  [...originals].find(([pattern]) => pattern.test(originalOf(row)))?.[1];

async function pipelineRun(model: Model, settings: unknown, latent: Tensor): Promise<Run> {
  const given = pipelineSchema.parse(settings);
  const [batch = 1, , height = 1, width = 1] = latent.shape;
  const own = [height * model.downsampling, width * model.downsampling] as const;
  const each = <T>(value: T): T[] => Array.from({ length: batch }, () => value);
  const all = (values: readonly string[]): readonly string[] =>
    values.length === batch ? values : each(values[0] ?? '');
  const positive: PictureSizes = {
    original: given.original_size ?? own,
    crop: given.crops_coords_top_left ?? [0, 0],
    target: given.target_size ?? own,
  };
  const negative: PictureSizes = given.negative_original_size
    ? {
        original: given.negative_original_size,
        crop: given.negative_crops_coords_top_left ?? [0, 0],
        target: given.negative_target_size ?? own,
      }
    : positive;
  const encode = (one: Given, clipSkip?: number): Promise<Condition> => model.encode(one, { clipSkip });
  const condition = await encode(
    { texts: all(given.prompt), secondTexts: given.prompt_2 && all(given.prompt_2), sizes: each(positive) },
    given.clip_skip === undefined ? undefined : given.clip_skip + 1,
  );
  const negatives = given.negative ?? given.negative_prompt;
  const empty = await encode({
    texts: all(negatives ?? ['']),
    secondTexts: given.negative_prompt_2 && all(given.negative_prompt_2),
    sizes: each(negative),
  });
  const { zeroEmpty } = model.conditioner;
  const isGuided = given.guidance_scale > 1;
  return {
    condition,
    // diffusers zeros an absent negative prompt, and encodes an empty one.
    unconditional: isGuided ? (negatives === undefined && zeroEmpty ? zeroEmpty(empty, each(true)) : empty) : undefined,
    sampler: diffusersSampler(given.scheduler, given.scheduler_config as never),
    steps: given.steps,
    scale: isGuided ? given.guidance_scale : 1,
    rescale: given.guidance_rescale,
    eta: given.eta,
  };
}

async function originalRun(model: Model, settings: unknown, row: IndexRow): Promise<Run> {
  const { S, scale, eta, prompts, negative } = originalSchema.parse(settings);
  return {
    condition: await model.encode({ texts: prompts }),
    unconditional: await model.encode({ texts: prompts.map(() => negative) }),
    sampler: findSampler(originalSampler(row) ?? '') as Sampler,
    steps: S,
    scale,
    eta,
  };
}

/** The recorded draws in their order. */
function drawsOf(values: Tensor | undefined) {
  let at = 0;
  return {
    convention: 'compvis',
    normal(shape: readonly number[]) {
      const size = shape.reduce((product, one) => product * one, 1);
      const data = (values?.data as Float32Array | undefined)?.slice(at, at + size);
      if (data?.length !== size) throw new Error('The run draws more noise than was recorded.');
      at += size;
      return float32([...shape], data);
    },
  };
}

/** The configuration that a row's `model` names: a family, perhaps with its YAML. */
function yamlOf({ model }: Row): string {
  const [family = '', file] = /^(\w+)(?: \((.*\.yaml)\))?/.exec(model)?.slice(1) ?? [];
  return `models/${family}/${file ?? (family === 'sd2' ? 'sd2-v.yaml' : `${family}.yaml`)}`;
}

const isPipeline = (settings: unknown): boolean => pipelineSchema.safeParse(settings).success;

export const reader: Reader = {
  set: 'families',
  reads: (row, part) =>
    part === 'runs' &&
    row['skipped'] === undefined &&
    /^(sd2|sdxl)\b/.test(String(row['model'])) &&
    (isPipeline(row['settings']) ||
      (originalSampler(row) !== undefined && originalSchema.safeParse(row['settings']).success)),
  compare: collecting(async ({ row: raw, setFolder: folder }, compare) => {
    const row = rowSchema.parse(raw);
    const { settings } = raw;
    const want = readTensors(join(folder, row.dir, 'outputs.safetensors'));
    const start = expectDType(pick(want, 'start'), 'float32');
    await using model = await familyModel(folder, yamlOf(row), parityEngine());
    const isDiffusers = isPipeline(settings);
    const run = isDiffusers ? await pipelineRun(model, settings, start) : await originalRun(model, settings, raw);
    const { scheduler, scheduler_config: config } = settings as { scheduler: string; scheduler_config: never };
    const whole = isDiffusers ? schedulerOf(scheduler, config) : undefined;
    const guided = guidedModel({
      network: (inputs, signal) => model.predict(inputs, signal),
      schedule: whole?.schedule ?? model.schedule,
      parameterization: whole ? diffusersParameterization(whole.config) : model.parameterization,
      condition: run.condition,
      unconditional: run.unconditional,
      scale: run.scale,
      rescale: run.rescale,
    });
    const steps: SamplerStep[] = [];
    const sampling = run.sampler.run({
      model: guided,
      steps: run.steps,
      startNoise: start,
      stepNoise: drawsOf(want.get('draws')),
      settings: run.eta === undefined ? {} : { eta: run.eta },
    } as never);
    for await (const step of sampling) steps.push(step);
    const perStep = isDiffusers && twoCalls.test(scheduler) ? 2 : 1;
    for (const [output, { atol = 0 }] of Object.entries(row.outputs)) {
      const number = Number(/^step\.(\d+)$/.exec(output)?.[1] ?? Number.NaN);
      const index = (number + 1) / perStep - 1;
      if (output === 'latent') compare.tensor(output, steps.at(-1)?.latent, pick(want, output), atol);
      else if (output === 'c') compare.tensor(output, run.condition['context'], pick(want, output), atol);
      else if (output === 'uc' || output === 'image') {
        const made =
          output === 'uc' ? run.unconditional?.['context'] : await model.decodeLatent(steps.at(-1)?.latent ?? start);
        // Only the first rows were kept.
        const recorded = pick(want, output);
        compare.tensor(output, made && takeBatch(made, 0, recorded.shape[0] ?? 1), recorded, atol);
      } else if (Number.isInteger(index) && number >= 0 && want.has(output))
        compare.tensor(output, steps[index]?.latent, pick(want, output), atol);
      else compare.skip(output, 'an input of the run, or the table of its scheduler, which the latents follow from');
    }
  }),
};
