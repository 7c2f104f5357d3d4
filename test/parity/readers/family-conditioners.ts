/** Conditioning of SD 2.x and SDXL: token ids, contexts and vectors of texts, in the conventions of the originals. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import type { PictureSizes } from '../../../src/conditioning/conditioner.ts';
import { promptContexts } from '../../../src/conditioning/prompt-contexts.ts';
import { idTensor } from '../../../src/conditioning/text.ts';
import type { Model } from '../../../src/model/model.ts';
import type { NetworkInputs } from '../../../src/tensor/batches.ts';
import { expectDType, float32, type Tensor } from '../../../src/tensor/tensor.ts';
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

/** A1111's syntax, weights for each encoder by itself. Recordings with textual inversions are not made here. */
async function syntaxOutputs(folder: string, settings: unknown): Promise<Outputs> {
  const { prompts, minimal_clip_skip: least } = syntaxSchema.parse(settings);
  const isXl = least !== undefined;
  await using model = await familyModel(
    folder,
    isXl ? 'models/sdxl/sdxl.yaml' : 'models/sd2/sd2-v.yaml',
    parityEngine(),
  );
  const got: Outputs = new Map();
  const none: PictureSizes = { original: [0, 0], crop: [0, 0], target: [0, 0] };
  const encode = async (key: string, prompt: string, emphasis?: 'No norm', clipSkip?: number): Promise<void> => {
    const batch = { prompts: [prompt], negatives: ['x'], clipSkip, sizes: none };
    const promptsAt = await promptContexts(model, batch, { schedule: { steps: 1 }, emphasis });
    const { context, y }: NetworkInputs = promptsAt(0)[0]?.parts[0]?.condition ?? {};
    if (context) got.set(`${key}.${isXl ? 'crossattn' : 'context'}`, context);
    if (y) got.set(`${key}.pooled`, pooledOf(model, y));
  };
  for (const [key, prompt] of Object.entries(prompts)) await encode(key, prompt);
  await encode('weighted.no_norm', prompts['weighted'] ?? '', 'No norm');
  // Forge counts from the last state, and takes 2 at least; here 1 is the usual layer, the last but one.
  await encode('clip_skip_1', prompts['plain'] ?? '', undefined, 1);
  await encode('clip_skip_3', prompts['plain'] ?? '', undefined, 2);
  return got;
}

/** The pooled text of a vector: what stands before the sizes. */
function pooledOf(model: Model, vector: Tensor): Tensor {
  const [rows = 1, all = 0] = vector.shape;
  const stage = model.checkpoint.config.cond_stage_config;
  const width =
    typeof stage === 'object' && stage?.kind === 'composed'
      ? stage.embedders.reduce(
          (sum, one) => sum + ('pooled_output' in one && one.pooled_output ? one.projection_dim : 0),
          0,
        )
      : all;
  const { data } = expectDType(vector, 'float32');
  const values = Array.from({ length: rows }, (_, i) => [...data.subarray(i * all, i * all + width)]).flat();
  return float32([rows, width], values);
}

const syntaxSchema = z.looseObject({
  prompts: z.record(z.string(), z.string()),
  minimal_clip_skip: z.number().optional(),
});

/** `StableDiffusionXLPipeline.encode_prompt`. */
async function pipelineOutputs(folder: string, settings: unknown): Promise<Outputs> {
  const { texts } = pipelineSchema.parse(settings);
  const [prompt = '', negative = '', empty = '', second = ''] = texts;
  await using model = await familyModel(folder, 'models/sdxl/sdxl.yaml', parityEngine());
  const got: Outputs = new Map();
  const sizes: PictureSizes[] = [{ original: [0, 0], crop: [0, 0], target: [0, 0] }];
  const encode = (text: string, other?: string, clipSkip?: number): Promise<NetworkInputs> =>
    model.encode({ texts: [text], secondTexts: other === undefined ? undefined : [other], sizes }, { clipSkip });
  const set = (key: string, inputs: NetworkInputs, prefix = ''): void => {
    if (inputs['context']) got.set(`${key}.${prefix}embeds`, inputs['context']);
    if (inputs['y']) got.set(`${key}.${prefix}pooled`, pooledOf(model, inputs['y']));
  };
  const plain = await encode(prompt);
  const without = await encode(negative);
  const encoded = await encode(empty);
  const zeroed = model.conditioner.zeroEmpty?.(encoded, [true]) ?? encoded;
  for (const [key, positive, opposite] of [
    ['plain', plain, without],
    ['two_prompts', await encode(prompt, second), await encode(negative, second)],
    ['no_negative_zeroed', plain, zeroed],
    ['zero.no_negative_zeroed', plain, zeroed],
    ['empty_string_negative', plain, encoded],
    ['no_negative_encoded', plain, encoded],
    ['clip_skip_0', await encode(prompt, undefined, 1), without],
    ['clip_skip_1', await encode(prompt, undefined, 2), without],
  ] as const) {
    set(key, positive);
    set(key, opposite, 'negative_');
  }
  return got;
}

const pipelineSchema = z.looseObject({ texts: z.array(z.string()).min(4), two_prompts: z.string() });

type Make = (folder: string, settings: unknown, long: string) => Promise<Outputs>;

function kindOf(settings: unknown): Make | undefined {
  if (sgmSchema.safeParse(settings).success) return sgmOutputs;
  if (pipelineSchema.safeParse(settings).success) return pipelineOutputs;
  if (syntaxSchema.safeParse(settings).success) return syntaxOutputs;
  const given = settings as Record<string, unknown> | undefined;
  return Array.isArray(given?.['texts']) ? sd2Outputs : undefined;
}

/** What is recorded and not compared, with the reason. */
function notCompared(output: string, settings: unknown): string | undefined {
  const second = pipelineSchema.safeParse(settings).data?.texts[3];
  if (output.startsWith('two_prompts.') && second?.includes('!'))
    return 'transformers takes ! in a text for the padding token of tokenizer_2; here it is text, as in open_clip and A1111';
  if (output.startsWith('ti.')) return 'the textual inversions of this set are read by another test';
  return output === 'time_ids' ? 'the numbers themselves; their embedding is compared in the set of sgm' : undefined;
}

export const reader: Reader = {
  set: 'families',
  reads: ({ settings, reference }, part) =>
    part === 'conditioners' && !/Fooocus|ComfyUI/.test(String(reference)) && kindOf(settings) !== undefined,
  async *compare({ row, setFolder: folder }: RecordedCase): AsyncIterable<Comparison> {
    const { dir, settings, outputs } = rowSchema.parse(row);
    const { long } = JSON.parse(readFileSync(join(folder, 'conditioners/texts.json'), 'utf8')) as {
      readonly long: string;
    };
    const got = await kindOf(settings)?.(folder, settings, long);
    const want = readTensors(join(folder, dir, 'outputs.safetensors'));
    for (const [output, { atol, same_as: recorded = output }] of Object.entries(outputs)) {
      const skipped = notCompared(output, settings);
      if (skipped !== undefined) {
        yield { output, error: 0, tolerance: 0, skipped };
        continue;
      }
      const made = got?.get(output);
      // A tensor named zero.* is all zeros and is not stored.
      const expected =
        output.startsWith('zero.') && made
          ? ({ ...made, data: new Float32Array(made.data.length) } as Tensor)
          : pick(want, recorded);
      yield compareTensors(output, made, expected, atol ?? outputs[recorded]?.atol ?? 0);
    }
  },
};
