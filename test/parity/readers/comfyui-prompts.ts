/** ComfyUI's prompts outside its graphs: pieces with weights, tokens in sections, weighted contexts. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { comfyChunks, comfyPieces, comfyWords, unescapePiece } from '../../../src/prompt/comfy-prompt.ts';
import { concatenate } from '../../../src/tensor/arithmetic.ts';
import { expectDType, float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { createClipTokenizer } from '../../../src/tokenizer/clip-tokenizer.ts';
import { weigh } from '../../../src/workflow/text/encode-text.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { originalOf, type Reader, type RecordedCase } from '../reader.ts';

type Weighted = readonly (readonly [text: string, weight: number])[];

const rowsSchema = z.array(
  z.object({
    prompt: z.string(),
    weights: z.array(z.tuple([z.string(), z.number()])),
    tokens: z.array(z.array(z.tuple([z.number(), z.number()]))),
  }),
);

/** Largest relative difference of weights; infinite where texts or lengths differ. */
function weightError(got: Weighted, want: Weighted): number {
  if (got.length !== want.length || got.some(([text], i) => text !== want[i]?.[0])) return Number.POSITIVE_INFINITY;
  return Math.max(0, ...got.map(([, weight], i) => Math.abs(weight - (want[i]?.[1] ?? 0)) / Math.abs(weight || 1)));
}

/** A section to compare with a recorded one, which has been cut within its end tokens: what is behind must be end tokens of weight 1. */
function cutLike(tokens: readonly number[], weights: readonly number[], end: number, length: number): Weighted {
  const isPadding = (i: number): boolean => i < length || (tokens[i] === end && weights[i] === 1);
  return tokens.every((_, i) => isPadding(i))
    ? tokens.slice(0, length).map((token, i) => [String(token), weights[i] as number])
    : [];
}

function comparePieces({ setFolder, row }: RecordedCase, compare: Comparisons): void {
  const rows = rowsSchema.parse(JSON.parse(readFileSync(join(setFolder, String(row['file'])), 'utf8')));
  const tolerance = 1e-12;
  const tokenizer = createClipTokenizer({ profile: 'hf5' });
  for (const [i, { prompt, weights, tokens }] of rows.entries()) {
    const pieces = comfyPieces(prompt).map(([text, weight]) => [unescapePiece(text), weight] as const);
    compare.error(`row ${i}: pieces`, weightError(pieces, weights), tolerance);
    const groups = comfyWords(prompt).map((word) => ({
      tokens: word.kind === 'text' ? tokenizer.encode(word.text) : [],
      weight: word.weight,
    }));
    const { startId: start, endId: end } = tokenizer;
    const chunks = comfyChunks(groups, { start, end, pad: end });
    compare.exact(`row ${i}: sections`, chunks.length, tokens.length);
    for (const [k, want] of tokens.entries()) {
      const chunk = chunks[k];
      const got = chunk ? cutLike(chunk.tokens, chunk.weights, end, want.length) : [];
      const error = weightError(
        got,
        want.map(([token, weight]) => [String(token), weight] as const),
      );
      compare.error(`row ${i}: tokens ${k}`, error, tolerance);
    }
  }
}

const pairsSchema = z.looseObject({ pairs: z.array(z.array(z.tuple([z.number(), z.number()]))) });

/** An encoder that gives row j of a section the table's row of its token, times j + 1. */
function compareWeighting({ setFolder, row }: RecordedCase, compare: Comparisons): void {
  const tensors = readTensors(join(setFolder, String(row['file'])));
  const table = expectDType(pick(tensors, 'table'), 'float32');
  const width = table.shape[1] ?? 1;
  const encode = (ids: readonly number[]): Tensor<'float32'> =>
    float32(
      [1, ids.length, width],
      ids.flatMap((id, j) => [...table.data.subarray(id * width, (id + 1) * width)].map((value) => value * (j + 1))),
    );
  const { pairs } = pairsSchema.parse(row['settings']);
  const contexts = pairs.map((chunk) => {
    const empty = encode(chunk.map((_, i) => (i === 0 ? 1 : 2)));
    return weigh(
      encode(chunk.map(([id]) => id)),
      empty,
      chunk.map(([, weight]) => weight),
    );
  });
  compare.tensor(
    'out',
    concatenate(contexts as [Tensor<'float32'>, ...Tensor<'float32'>[]], 1),
    pick(tensors, 'out'),
    1e-5,
  );
  compare.skip('pooled', 'the encoder of the test gives it, and nothing changes it');
}

const kinds: readonly (readonly [RegExp, (recorded: RecordedCase, compare: Comparisons) => void | Promise<void>])[] = [
  [/sd1_clip\.py$/, comparePieces],
  [/encode_token_weights$/, compareWeighting],
];

const kindOf = (row: RecordedCase['row']) => kinds.find(([pattern]) => pattern.test(originalOf(row)))?.[1];

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) => part === 'prompts' && kindOf(row) !== undefined,
  compare: collecting(async (recorded, compare) => kindOf(recorded.row)?.(recorded, compare)),
};
