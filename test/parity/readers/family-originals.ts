/** Whole runs of the original samplers with SD 2.x (Stability-AI/stablediffusion), through the public pipeline: text, images, inpainting, depth, upscaling, variations. */

import { join } from 'node:path';
import * as z from 'zod';
import { stochasticEncode } from '../../../src/diffusion/samplers/timestep-sampler.ts';
import { ddimTimesteps } from '../../../src/diffusion/timesteps.ts';
import type { Model } from '../../../src/model/model.ts';
import { takeBatch } from '../../../src/tensor/batches.ts';
import { expectDType, type Tensor } from '../../../src/tensor/tensor.ts';
import { recordedPictures } from '../../families/recorded-pictures.ts';
import { type Pictures, runPictures, startOfPicture } from '../../families/run-pictures.ts';
import { familyModel, familyYaml } from '../../families/tiny-models.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { collecting } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { type IndexRow, originalOf, type Reader } from '../reader.ts';

const settingsSchema = z.strictObject({
  S: z.number(),
  scale: z.number(),
  eta: z.number().optional(),
  t_enc: z.number().optional(),
  prompts: z.array(z.string()).optional(),
  prompt: z.string().optional(),
  negative: z.string().optional(),
});
const rowSchema = z.looseObject({
  dir: z.string(),
  model: z.string(),
  outputs: z.record(z.string(), z.looseObject({ atol: z.number().optional(), same_as: z.string().optional() })),
  draw_shapes: z.array(z.array(z.number())),
});

/** The original samplers by class. */
const originals: ReadonlyMap<RegExp, string> = new Map([
  [/DDIMSampler/, 'ddim'],
  [/PLMSSampler/, 'plms'],
  [/DPMSolverSampler/, 'dpm-solver'],
]);
const samplerOf = (row: IndexRow): string | undefined =>
  [...originals].find(([pattern]) => pattern.test(originalOf(row)))?.[1];

/** The noise level of a variation, which stands in the recorded vector only: its first sinusoids are cos and sin of the level. */
function levelIn(vector: Tensor, width: number): number {
  const [cos, sin] = [Number(vector.data[width]), Number(vector.data[width + width / 2])];
  const near = (level: number): number => Math.abs(Math.cos(level) - cos) + Math.abs(Math.sin(level) - sin);
  return Array.from({ length: 1000 }, (_, level) => level).reduce((a, b) => (near(b) < near(a) ? b : a));
}

/** The task of a run, with the pictures and tensors that it starts from. */
function startOf(
  { checkpoint: { kind } }: Model,
  given: z.output<typeof settingsSchema>,
  folder: string,
  want: Tensors,
): object {
  const { image, mask } = recordedPictures(folder);
  if (kind === 'inpaint') return { task: 'inpaint', image, mask };
  if (kind === 'depth') return { task: 'img2img', image, depth: pick(want, 'depth'), strength: 1 };
  if (kind === 'upscale')
    return { task: 'img2img', pixels: pick(want, 'low'), noiseLevel: Number(pick(want, 'noise_level').data[0]) };
  if (kind === 'variation') {
    const embedding = pick(want, 'image_embeds');
    return {
      task: 'img2img',
      imageEmbedding: embedding,
      noiseLevel: levelIn(pick(want, 'c_adm'), embedding.shape[1] ?? 1),
    };
  }
  return given.t_enc === undefined ? { task: 'txt2img' } : { task: 'img2img', image, strength: given.t_enc / given.S };
}

export const reader: Reader = {
  set: 'families',
  reads: (row, part) =>
    part === 'runs' &&
    row['skipped'] === undefined &&
    samplerOf(row) !== undefined &&
    settingsSchema.safeParse(row['settings']).success,
  compare: collecting(async ({ row: raw, setFolder: folder }, compare) => {
    const row = rowSchema.parse(raw);
    const given = settingsSchema.parse(raw['settings']);
    const want = readTensors(join(folder, row.dir, 'outputs.safetensors'));
    await using model = await familyModel(folder, familyYaml(row.model), parityEngine());
    const latent = expectDType(pick(want, 'latent'), 'float32');
    const [count = 1, , rows = 1, columns = 1] = latent.shape;
    const prompts = given.prompts ?? [given.prompt ?? ''];
    const start = startOf(model, given, folder, want);
    const run: Pictures = {
      count,
      start: want.get('start') as Tensor<'float32'> | undefined,
      noise: { draws: want.get('draws'), shapes: row.draw_shapes },
      convention: 'compvis',
      options: (picture) => ({
        ...start,
        prompt: prompts[picture] ?? prompts[0],
        negativePrompt: given.negative ?? '',
        steps: given.S,
        sampler: samplerOf(raw),
        guidanceScale: given.scale,
        ...(given.eta === undefined ? {} : { eta: given.eta }),
        height: rows * model.downsampling,
        width: columns * model.downsampling,
      }),
    };
    const made = await runPictures(model, run);
    const { concat, inputs, initial } = await startOfPicture(model, run);
    const firstNoise = () => {
      const [posterior = [], noise = []] = row.draw_shapes;
      const [from, size] = [posterior, noise].map((shape) => shape.reduce((a, b) => a * b, 1)) as [number, number];
      const data = (pick(want, 'draws').data as Float32Array).slice(from, from + size);
      return { dtype: 'float32', shape: noise, data } as Tensor<'float32'>;
    };
    const others: Readonly<Record<string, () => Tensor | undefined | Promise<Tensor | undefined>>> = {
      c: () => model.encodePrompts(prompts),
      uc: () => model.encodePrompts([given.negative ?? '']),
      image: () => model.decodeLatent(takeBatch(made.latents, 0, 1)),
      c_concat: () => concat,
      c_adm: () => inputs?.['y'],
      init_latent: () => initial,
      encoded: () =>
        initial &&
        stochasticEncode(
          { model: { schedule: model.schedule } as never, startNoise: firstNoise() },
          initial,
          ddimTimesteps('uniform', given.S, model.schedule.trainTimesteps),
          given.t_enc ?? 0,
        ),
    };
    for (const [output, { atol = 0 }] of Object.entries(row.outputs)) {
      if (output === 'latent') compare.tensor(output, made.latents, latent, atol);
      else if (others[output]) {
        const got = await others[output]();
        // Of a batch the pipeline's start was made for its first picture.
        const recorded = pick(want, output);
        compare.tensor(output, got, takeBatch(recorded, 0, got?.shape[0] ?? 1), atol);
      } else compare.skip(output, 'an input of the run');
    }
  }),
};
