/** A1111's prompt syntax: weights, schedules, AND, chunks, emphasis, extra networks. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePromptAttention } from '../../../src/prompt/attention.ts';
import { promptChunks } from '../../../src/prompt/chunks.ts';
import { promptParts } from '../../../src/prompt/conjunction.ts';
import { applyEmphasis, emphases } from '../../../src/prompt/emphasis.ts';
import { extraNetworks } from '../../../src/prompt/extra-networks.ts';
import { promptSchedule } from '../../../src/prompt/schedule.ts';
import { expectDType } from '../../../src/tensor/tensor.ts';
import { createClipTokenizer } from '../../../src/tokenizer/clip-tokenizer.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting, type Comparisons, throwsWith } from '../comparisons.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase } from '../reader.ts';

const kinds: readonly (readonly [RegExp, (recorded: RecordedCase, compare: Comparisons) => void])[] = [
  [/prompt_parser\.py/, comparePrompts],
  [/sd_hijack_clip\.py/, compareChunks],
  [/sd_emphasis\.py/, compareEmphasis],
  [/extra_networks\.py/, compareExtraNetworks],
];
const kindOf = (row: RecordedCase['row']) => kinds.find(([pattern]) => pattern.test(originalOf(row)))?.[1];

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) => part === 'prompts' && kindOf(row) !== undefined,
  compare: collecting((recorded, compare) => kindOf(recorded.row)?.(recorded, compare)),
};

const json = ({ setFolder, row }: RecordedCase) =>
  JSON.parse(readFileSync(join(setFolder, String(row['file'])), 'utf8'));
const toleranceOf = ({ row }: RecordedCase): Recorded => row['tolerance'];

type Weighted = readonly (readonly [text: string, weight: number])[];

interface PromptRow {
  readonly prompt: string;
  readonly attention: Weighted | { readonly error: string };
  readonly schedules: readonly [number, string][][];
  readonly multicond: { readonly indexes: readonly (readonly [number, number])[][]; readonly flat: readonly string[] };
}

/** Largest relative difference; infinite where texts or lengths differ. */
function weightError(got: Weighted, want: Weighted): number {
  if (got.length !== want.length || got.some(([text], i) => text !== want[i]?.[0])) return Number.POSITIVE_INFINITY;
  return Math.max(0, ...got.map(([, weight], i) => Math.abs(weight / (want[i]?.[1] ?? 0) - 1)));
}

function comparePrompts(recorded: RecordedCase, compare: Comparisons): void {
  const { rows }: { readonly rows: readonly PromptRow[] } = json(recorded);
  const tolerance: number = toleranceOf(recorded).weights_rel;
  const ways = [{ steps: 20 }, { steps: 10, oldRule: true }, { steps: 10, firstPassSteps: 20 }];
  for (const [i, { prompt, attention, schedules, multicond }] of rows.entries()) {
    if ('error' in attention) {
      const error = throwsWith('invalid-argument', () => parsePromptAttention(prompt));
      compare.error(`row ${i} attention is refused`, error, 0);
    } else compare.error(`row ${i} attention`, weightError(parsePromptAttention(prompt), attention), tolerance);
    for (const [way, options] of ways.entries())
      compare.exact(`row ${i} schedule ${way}`, promptSchedule(prompt, options), schedules[way]);
    const parts = (multicond.indexes[0] ?? []).map(([at, weight]) => [multicond.flat[at] ?? '', weight] as const);
    const got = promptParts(prompt).map(({ text, weight }) => [text, weight] as const);
    compare.error(`row ${i} multicond`, weightError(got, parts), tolerance);
  }
}

interface ChunkRow {
  readonly comma_padding_backtrack: number;
  readonly prompt: string;
  readonly token_count: number;
  readonly chunks: readonly { readonly tokens: readonly number[]; readonly multipliers: readonly number[] }[];
}

/** Sequences of 77, weights and number of tokens. Trailing padding is not recorded. */
function compareChunks(recorded: RecordedCase, compare: Comparisons): void {
  const tokenizer = createClipTokenizer({ profile: 'hf5' });
  const cut = <T>(values: readonly T[], end: T): T[] =>
    values.slice(0, values.findLastIndex((value) => value !== end) + 1);
  const unnamed = (weights: readonly number[]): Weighted => weights.map((weight) => ['', weight] as const);
  for (const [i, row] of (json(recorded) as readonly ChunkRow[]).entries()) {
    const got = promptChunks(tokenizer, row.prompt, { commaBacktrack: row.comma_padding_backtrack });
    compare.exact(`row ${i} count`, got.count, row.token_count);
    const lengths = got.chunks.flatMap((chunk) => [chunk.ids.length, chunk.weights.length]);
    compare.exact(
      `row ${i} lengths`,
      lengths,
      Array.from(lengths, () => 77),
    );
    const ids = got.chunks.map((chunk) => cut(chunk.ids, tokenizer.endId));
    compare.exact(
      `row ${i} tokens`,
      ids,
      row.chunks.map(({ tokens }) => tokens),
    );
    const errors = got.chunks.map((chunk, k) =>
      weightError(unnamed(cut(chunk.weights, 1)), unnamed(row.chunks[k]?.multipliers ?? [])),
    );
    compare.error(`row ${i} multipliers`, Math.max(0, ...errors), toleranceOf(recorded).multipliers_rel);
  }
}

/** What the modes make of a context. */
function compareEmphasis(recorded: RecordedCase, compare: Comparisons): void {
  const tensors = readTensors(join(recorded.setFolder, String(recorded.row['file'])));
  const { data, shape } = expectDType(pick(tensors, 'multipliers'), 'float32');
  const [n = 0, tokens = 0] = shape;
  const weights = Array.from({ length: n }, (_, i) => [...data.subarray(i * tokens, (i + 1) * tokens)]);
  for (const emphasis of emphases) {
    const output = `out.${emphasis.replace(' ', '_')}`;
    const got = applyEmphasis(expectDType(pick(tensors, 'z'), 'float32'), weights, emphasis);
    compare.tensor(output, got, pick(tensors, output), toleranceOf(recorded).abs);
  }
}

interface NetworkRow {
  readonly prompt: string;
  readonly text: string;
  readonly networks: Readonly<Record<string, readonly unknown[]>>;
}

/** What <kind:arguments> says. */
function compareExtraNetworks(recorded: RecordedCase, compare: Comparisons): void {
  for (const [i, row] of (json(recorded) as readonly NetworkRow[]).entries()) {
    const { text, networks } = extraNetworks(row.prompt);
    const byKind: Record<string, unknown[]> = {};
    for (const { kind, positional, named, items } of networks) {
      byKind[kind] ??= [];
      byKind[kind].push({ positional, named: Object.fromEntries(named), items });
    }
    compare.exact(`row ${i}`, { text, networks: byKind }, { text: row.text, networks: row.networks });
  }
}
