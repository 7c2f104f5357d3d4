/** SDXL's two text encoders as ComfyUI uses them, and textual inversions of both as diffusers does. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { withAdapters } from '../../../src/model/adapters.ts';
import { Model } from '../../../src/model/model.ts';
import type { ClipTokenizer } from '../../../src/tokenizer/clip-tokenizer.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import type { NodeContext } from '../../../src/workflow/context-in-run.ts';
import { clipOf } from '../../../src/workflow/load-model.ts';
import { NetworkPool } from '../../../src/workflow/network-pool.ts';
import { encodeText, promptTokens } from '../../../src/workflow/text/encode-text.ts';
import type { ClipValue } from '../../../src/workflow/values/clip.ts';
import { familyModel } from '../../families/tiny-models.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import type { Reader, RecordedCase } from '../reader.ts';

const familySchema = z.looseObject({
  dir: z.string(),
  settings: z.record(z.string(), z.unknown()),
  outputs: z.record(z.string(), z.looseObject({ atol: z.number().optional(), same_as: z.string().optional() })),
});

/** A context whose embeddings folder has the file of the set. */
function contextWith(setFolder: string, networks: NetworkPool): NodeContext {
  const name = 'ti-xl.safetensors';
  const weights = async () => memoryWeights(readTensors(join(setFolder, `conditioners/${name}`)), name);
  const lists = async () => ({ names: (kind: string) => (kind === 'embeddings' ? [name] : []), exists: () => false });
  return { networks, files: { weights, lists }, signal: undefined } as unknown as NodeContext;
}

/** The text encoders of the family's model, with the tokenizers that it is used with. */
function clipWith(model: Model, tokenizers: ReadonlyMap<string, ClipTokenizer>): ClipValue {
  const clip = clipOf(model.checkpoint, { fullTextEncoder: true });
  return {
    ...clip,
    encoders: clip.encoders.map((encoder, i) => ({
      ...encoder,
      tokenizer: tokenizers.get(i === 0 ? 'cond_stage' : 'cond_stage_2') ?? encoder.tokenizer,
    })),
  };
}

async function compareTwoEncoders(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const { setFolder, row } = recorded;
  const { dir, settings, outputs } = familySchema.parse(row);
  const prompts = settings['prompts'] as Readonly<Record<string, string>>;
  await using model = await familyModel(setFolder, 'models/sdxl/sdxl.yaml', parityEngine());
  const clip = clipWith(model, model.tokenizers as ReadonlyMap<string, ClipTokenizer>);
  await using networks = new NetworkPool(parityEngine());
  const context = contextWith(setFolder, networks);
  const want = readTensors(join(setFolder, dir, 'outputs.safetensors'));
  const tokens = JSON.parse(readFileSync(join(setFolder, dir, 'tokens.json'), 'utf8')) as Readonly<
    Record<string, Readonly<Record<string, readonly (readonly (readonly [number, number])[])[]>>>
  >;
  for (const key of new Set(Object.keys(outputs).map((name) => name.split('.')[0] ?? ''))) {
    if ((tokens[key]?.['l']?.length ?? 1) > 1) {
      const reason =
        'this ComfyUI of 2023 keeps words together at the end of a section; later ones, as here, whole texts';
      for (const name of Object.keys(outputs).filter((one) => one.startsWith(`${key}.`))) compare.skip(name, reason);
      continue;
    }
    const layer = /^stop_at_(\d+)$/.exec(key)?.[1];
    const prompt = prompts[key] ?? prompts['plain'] ?? '';
    const made = await encodeText(layer === undefined ? clip : { ...clip, layer: -Number(layer) }, prompt, context);
    for (const [name, value] of [
      ['crossattn', made.cond],
      ['pooled', made.pooled_output],
    ] as const) {
      const output = `${key}.${name}`;
      const given = outputs[output];
      if (!given) continue;
      const source = given.same_as ?? output;
      compare.tensor(output, value, pick(want, source), given.atol ?? outputs[source]?.atol ?? 0);
    }
    for (const { name, ...encoder } of clip.encoders) {
      const wanted = tokens[key]?.[name];
      if (!wanted || key === 'ti') continue;
      const got = (await promptTokens({ name, ...encoder }, prompt, context)).map(({ tokens: ids, weights }) =>
        ids.map((id, i) => [id, weights[i]]),
      );
      compare.exact(`${key}: tokens ${name}`, got, wanted);
    }
  }
}

/** diffusers' textual inversion for both encoders: the file's name is the token here, `<ti-xl>` and its further tokens there. */
async function compareInversions({ setFolder, row }: RecordedCase, compare: Comparisons): Promise<void> {
  const { dir, settings, outputs } = familySchema.parse(row);
  await using model = await familyModel(setFolder, 'models/sdxl/sdxl.yaml', parityEngine());
  const token = /<[^>]+>/.exec(String(settings['prompt']))?.[0] ?? '';
  const source = memoryWeights(readTensors(join(setFolder, 'conditioners/ti-xl.safetensors')), 'ti-xl');
  const adapted = await withAdapters(model, { embeddings: [{ source, token }] });
  await using changed = new Model({ ...adapted, engine: parityEngine() });
  const want = readTensors(join(setFolder, dir, 'outputs.safetensors'));
  for (const [output, text] of [
    ['embeds', String(settings['prompt'])],
    ['negative_embeds', String(settings['negative'])],
  ] as const) {
    const { context } = await changed.encode({
      texts: [text],
      sizes: [{ original: [0, 0], crop: [0, 0], target: [0, 0] }],
    });
    compare.tensor(output, context, pick(want, output), outputs[output]?.atol ?? 0);
  }
  compare.skip(
    'pooled',
    'diffusers takes it at the added token, whose id is the largest; here it is at the end token, as trained',
  );
}

const kindOf = (row: RecordedCase['row']) => {
  const original = String(row['reference']);
  if (/ComfyUI/.test(original)) return compareTwoEncoders;
  return /load_textual_inversion/.test(original) ? compareInversions : undefined;
};

export const reader: Reader = {
  set: 'families',
  reads: (row, part) => part === 'conditioners' && kindOf(row) !== undefined,
  compare: collecting(async (recorded, compare) => kindOf(recorded.row)?.(recorded, compare)),
};
