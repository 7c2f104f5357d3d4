/** Conditioning of SD 2.x and SDXL: token ids, contexts and vectors of texts, in the conventions of the originals. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import type { PictureSizes } from '../../../src/conditioning/conditioner.ts';
import { idTensor } from '../../../src/conditioning/text.ts';
import type { Model } from '../../../src/model/model.ts';
import type { NetworkInputs } from '../../../src/tensor/batches.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { familyModel } from '../../families/tiny-models.ts';
import { pick, readTensors } from '../../tensors.ts';
import { parityEngine } from '../engine.ts';
import { compareTensors, type Comparison, type RecordedCase, type Reader } from '../reader.ts';

const pair = z.tuple([z.number(), z.number()]);
const rowSchema = z.looseObject({
  dir: z.string(),
  settings: z.looseObject({}),
  outputs: z.record(z.string(), z.looseObject({ atol: z.number().optional(), same_as: z.string().optional() })),
});
type Outputs = Map<string, Tensor>;

/** Ids as each text encoder takes them. */
function idsOf(model: Model, texts: readonly string[], part: string): Tensor {
  const tokenizer = model.tokenizers.get(part);
  if (!tokenizer) throw new Error(`The model has no tokenizer of ${part}.`);
  return idTensor(texts.map((text) => [...tokenizer.tokenize(text, { length: 77 }).ids]));
}

function note(outputs: Outputs, name: string, { context, y }: NetworkInputs, names: readonly [string, string]): void {
  if (context) outputs.set(`${name}.${names[0]}`, context);
  if (y) outputs.set(`${name}.${names[1]}`, y);
}

const sgmSchema = z.looseObject({
  txt: z.array(z.string()),
  original_size_as_tuple: z.array(pair),
  crop_coords_top_left: z.array(pair),
  target_size_as_tuple: z.array(pair),
  aesthetic_score: z.array(z.tuple([z.number()])),
  uncond: z.looseObject({ txt: z.array(z.string()), aesthetic_score: z.number() }),
});

/** sgm's conditioner of the base model and of the refiner. */
async function sgmOutputs(folder: string, settings: unknown, long: string): Promise<Outputs> {
  const given = sgmSchema.parse(settings);
  const got: Outputs = new Map();
  const sizes = (count: number, aesthetic?: number): PictureSizes[] =>
    Array.from({ length: count }, (_, i) => ({
      original: given.original_size_as_tuple[i] as [number, number],
      crop: given.crop_coords_top_left[i] as [number, number],
      target: given.target_size_as_tuple[i] as [number, number],
      aesthetic: aesthetic ?? given.aesthetic_score[i]?.[0],
    }));
  for (const [name, yaml] of [
    ['base', 'models/sdxl/sdxl.yaml'],
    ['refiner', 'models/refiner/model.yaml'],
  ] as const) {
    await using model = await familyModel(folder, yaml, parityEngine());
    const encode = (texts: readonly string[], aesthetic?: number): Promise<NetworkInputs> =>
      model.encode({ texts, sizes: sizes(texts.length, aesthetic) });
    const names = ['crossattn', 'vector'] as const;
    note(got, `${name}.cond`, await encode(given.txt), names);
    note(got, `${name}.uncond`, await encode(given.uncond.txt, given.uncond.aesthetic_score), names);
    const empty = await encode([''], given.uncond.aesthetic_score);
    note(got, `${name}.empty`, empty, names);
    const zeroed = model.conditioner.zeroEmpty?.(empty, [true]) ?? empty;
    note(got, `${name}.empty_zeroed`, zeroed, names);
    note(got, `zero.${name}.empty_zeroed`, zeroed, names);
    if (name !== 'base') continue;
    note(got, 'long.cond', await encode([long]), names);
    for (const [texts, key] of [
      [given.txt, 'cond'],
      [given.uncond.txt, 'uncond'],
      [[''], 'empty'],
      [[long], 'long'],
    ] as const) {
      got.set(`ids_clip_l.${key}`, idsOf(model, texts, 'cond_stage'));
      got.set(`ids_clip_g.${key}`, idsOf(model, texts, 'cond_stage_2'));
    }
  }
  return got;
}

/** SD 2.x: the last block but one, and the last. */
async function sd2Outputs(folder: string, settings: unknown, long: string): Promise<Outputs> {
  const { texts } = z.looseObject({ texts: z.array(z.string()) }).parse(settings);
  const got: Outputs = new Map();
  for (const [name, yaml] of [
    ['penultimate', 'models/sd2/sd2-v.yaml'],
    ['last', 'models/sd2/sd2-v-last.yaml'],
  ] as const) {
    await using model = await familyModel(folder, yaml, parityEngine());
    got.set(name, await model.encodePrompts(texts));
    got.set(`long.${name}`, await model.encodePrompts([long]));
    got.set('ids', idsOf(model, texts, 'cond_stage')).set('long.ids', idsOf(model, [long], 'cond_stage'));
  }
  return got;
}

function kindOf(settings: unknown): 'sgm' | 'sd2' | undefined {
  if (sgmSchema.safeParse(settings).success) return 'sgm';
  const given = settings as Record<string, unknown> | undefined;
  return Array.isArray(given?.['texts']) && given['time_ids'] === undefined ? 'sd2' : undefined;
}

export const reader: Reader = {
  set: 'families',
  reads: ({ settings }, part) => part === 'conditioners' && kindOf(settings) !== undefined,
  async *compare({ row, setFolder: folder }: RecordedCase): AsyncIterable<Comparison> {
    const { dir, settings, outputs } = rowSchema.parse(row);
    const { long } = JSON.parse(readFileSync(join(folder, 'conditioners/texts.json'), 'utf8')) as {
      readonly long: string;
    };
    const got =
      kindOf(settings) === 'sgm' ? await sgmOutputs(folder, settings, long) : await sd2Outputs(folder, settings, long);
    const want = readTensors(join(folder, dir, 'outputs.safetensors'));
    for (const [output, { atol, same_as: recorded = output }] of Object.entries(outputs)) {
      const made = got.get(output);
      // A tensor named zero.* is all zeros and is not stored.
      const expected =
        output.startsWith('zero.') && made
          ? ({ ...made, data: new Float32Array(made.data.length) } as Tensor)
          : pick(want, recorded);
      yield compareTensors(output, made, expected, atol ?? outputs[recorded]?.atol ?? 0);
    }
  },
};
