/** Whole runs of sgm's samplers with SDXL and SD 2.1, through the public pipeline, by the names of its classes. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { tableLevel } from '../../../src/diffusion/noise-schedule.ts';
import { namedSampling } from '../../../src/diffusion/sampler-names.ts';
import { expectDType, type Tensor } from '../../../src/tensor/tensor.ts';
import { runPictures } from '../../families/run-pictures.ts';
import { familyModel, familyYaml } from '../../families/tiny-models.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting, listDifference } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { type IndexRow, originalOf, type Reader } from '../reader.ts';

const settingsSchema = z.looseObject({
  steps: z.number().optional(),
  n_sample_steps: z.number().optional(),
  scale: z.number().nullable().optional(),
  quantize_c_noise: z.boolean().optional(),
  discretization: z
    .looseObject({
      target: z.string(),
      params: z.object({ sigma_min: z.number(), sigma_max: z.number(), rho: z.number() }).optional(),
    })
    .optional(),
  conditions: z.string(),
  s_churn: z.number().optional(),
  s_tmin: z.number().optional(),
  s_tmax: z.number().optional(),
  s_noise: z.number().optional(),
  eta: z.number().optional(),
  order: z.number().optional(),
  strength: z.number().optional(),
});
type Settings = z.output<typeof settingsSchema>;
const rowSchema = z.looseObject({
  dir: z.string(),
  model: z.string(),
  outputs: z.record(z.string(), z.looseObject({ atol: z.number().optional() })),
  draw_shapes: z.array(z.array(z.number())),
});

const samplerOf = (row: IndexRow): string | undefined => /([A-Za-z0-9]+Sampler)$/.exec(originalOf(row))?.[1];

interface Texts {
  readonly prompts: readonly string[];
  readonly negatives: readonly string[];
  readonly sizes?: object;
}

/** The texts and sizes of the recorded conditions that a run names. */
function textsOf(folder: string, { conditions }: Settings): Texts {
  const { cases } = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as { readonly cases: IndexRow[] };
  const [, dir = ''] = /^(conditioners\/\w+)/.exec(conditions) ?? [];
  const given = cases.find((row) => row['dir'] === dir)?.['settings'] as Record<string, unknown>;
  const texts = given['texts'] as string[] | undefined;
  if (texts) return { prompts: texts.slice(0, 2), negatives: [texts[2] ?? '', texts[2] ?? ''] };
  const { txt, uncond, ...sizes } = given as {
    txt: string[];
    uncond: { txt: string[]; aesthetic_score: number };
    original_size_as_tuple: [number, number][];
    crop_coords_top_left: [number, number][];
    target_size_as_tuple: [number, number][];
    aesthetic_score: [number][];
  };
  const size = ([[height, width] = [0, 0]]: [number, number][]) => ({ height, width });
  const [[top, left] = [0, 0]] = sizes.crop_coords_top_left;
  return {
    prompts: txt,
    negatives: uncond.txt,
    sizes: {
      original: size(sizes.original_size_as_tuple),
      target: size(sizes.target_size_as_tuple),
      crop: { top, left },
      aestheticScore: sizes.aesthetic_score[0]?.[0],
      negative: { aestheticScore: uncond.aesthetic_score },
    },
  };
}

const defined = (fields: object): object =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

function requestOf(given: Settings, sampler: string): object {
  const { params } = given.discretization ?? {};
  return defined({
    steps: given.n_sample_steps ?? given.steps,
    sampler,
    guidanceScale: given.scale ?? 1,
    ...(params
      ? {
          schedule: 'karras',
          scheduleSettings: { sigmaMin: params.sigma_min, sigmaMax: params.sigma_max, rho: params.rho },
        }
      : {}),
    samplerSettings: defined({
      sChurn: given.s_churn,
      sTmin: given.s_tmin,
      sTmax: given.s_tmax,
      sNoise: given.s_noise,
      eta: given.eta,
      order: given.order,
    }),
    ...(given.strength === undefined ? {} : { strength: given.strength, strengthRule: 'sgm' }),
  });
}

export const reader: Reader = {
  set: 'families',
  reads: (row, part) =>
    part === 'runs' &&
    /generative-models/.test(originalOf(row)) &&
    samplerOf(row) !== undefined &&
    settingsSchema.safeParse(row['settings']).success,
  compare: collecting(async ({ row: raw, setFolder: folder }, compare) => {
    const row = rowSchema.parse(raw);
    const given = settingsSchema.parse(raw['settings']);
    const sampler = samplerOf(raw) ?? '';
    const want = readTensors(join(folder, row.dir, 'outputs.safetensors'));
    const latent = expectDType(pick(want, 'latent'), 'float32');
    await using model = await familyModel(folder, familyYaml(row.model), parityEngine(), undefined, {
      time_is_sigma: given.quantize_c_noise === false,
    });
    const [count = 1, , rows = 1, columns = 1] = latent.shape;
    const { prompts, negatives, sizes } = textsOf(folder, given);
    const initial = want.get('init_latent') as Tensor<'float32'> | undefined;
    const made = await runPictures(model, {
      count,
      start: (want.get('start') ?? want.get('noise')) as Tensor<'float32'>,
      noise: { draws: want.get('draws'), shapes: row.draw_shapes },
      convention: 'compvis',
      options: (picture) => ({
        task: initial ? 'img2img' : 'txt2img',
        prompt: prompts[picture] ?? '',
        negativePrompt: negatives[picture] ?? '',
        ...(sizes ? { sizeConditions: sizes } : {}),
        ...requestOf(given, sampler),
        ...(initial ? { latent: itemOf(initial, picture) } : {}),
        height: rows * model.downsampling,
        width: columns * model.downsampling,
      }),
    });
    const sigmas = [...made.steps.map(({ sigma }) => sigma), 0];
    const calls = made.steps.map(({ sigma }) => tableLevel(model.schedule, sigma));
    const isSingle = (namedSampling(sampler, { peer: 'sgm' }).sampler.callsPerStep ?? 1) === 1 && !given.s_churn;
    const tables: Readonly<Record<string, readonly number[]>> = {
      sigmas,
      ...(isSingle
        ? { 'call.sigma': calls.map(({ sigma }) => sigma), 'call.index': calls.map(({ timestep }) => timestep) }
        : {}),
    };
    for (const [output, { atol = 0 }] of Object.entries(row.outputs)) {
      const table = tables[output];
      if (output === 'latent') compare.tensor(output, made.latents, latent, atol);
      else if (table) compare.error(output, listDifference(table, Array.from(pick(want, output).data, Number)), atol);
      else compare.skip(output, 'an input of the run, or the levels of calls between its steps');
    }
  }),
};

function itemOf({ shape, data }: Tensor<'float32'>, item: number): Tensor<'float32'> {
  const size = data.length / (shape[0] ?? 1);
  return { dtype: 'float32', shape: [1, ...shape.slice(1)], data: data.slice(item * size, (item + 1) * size) };
}
