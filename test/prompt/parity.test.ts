/** A1111's prompt syntax against web UI v1.10.1 (diffusion/prompts a1111, a1111_chunks, a1111_emphasis, extra_networks). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { parsePromptAttention } from '../../src/prompt/attention.ts';
import { promptChunks } from '../../src/prompt/chunks.ts';
import { promptParts } from '../../src/prompt/conjunction.ts';
import { applyEmphasis, emphases } from '../../src/prompt/emphasis.ts';
import { extraNetworks } from '../../src/prompt/extra-networks.ts';
import { promptSchedule } from '../../src/prompt/schedule.ts';
import { expectDType } from '../../src/tensor/tensor.ts';
import { createClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { compareTensor, recordParity } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

const json = <T>(name: string): T => JSON.parse(readFileSync(reference(`diffusion/prompts/${name}.json`), 'utf8')) as T;
const version = 'A1111 v1.10.1';
const part = 'diffusion/prompts';

type Weighted = [text: string, weight: number][];
interface Row {
  readonly prompt: string;
  readonly attention: Weighted | { readonly error: string };
  readonly schedules: readonly [number, string][][];
  readonly multicond: {
    readonly indexes: readonly [index: number, weight: number][][];
    readonly flat: readonly string[];
  };
}

/** Largest relative difference; infinite where texts or lengths differ. */
function weightError(
  got: readonly (readonly [string, number])[],
  want: readonly (readonly [string, number])[],
): number {
  if (got.length !== want.length || got.some(([text], i) => text !== want[i]?.[0])) return Number.POSITIVE_INFINITY;
  return Math.max(0, ...got.map(([, weight], i) => Math.abs(weight / (want[i]?.[1] ?? 0) - 1)));
}

const { rows } = json<{ rows: Row[] }>('a1111');

test('a1111: weights of words', () => {
  const errors = rows.map(({ prompt, attention }) => {
    if (Array.isArray(attention)) return weightError(parsePromptAttention(prompt), attention);
    assert.throws(() => parsePromptAttention(prompt), { code: 'invalid-argument' }, prompt);
    return 0;
  });
  recordParity({
    part,
    case: 'a1111_prompts',
    output: 'attention',
    reference: version,
    error: Math.max(...errors),
    tolerance: 1e-12,
  });
});

test('a1111: schedules, of one pass, by the old rule and of a second pass', () => {
  const ways = [{ steps: 20 }, { steps: 10, oldRule: true }, { steps: 10, firstPassSteps: 20 }];
  const wrong = rows.flatMap(({ prompt, schedules }) =>
    ways
      .filter((options, i) => JSON.stringify(promptSchedule(prompt, options)) !== JSON.stringify(schedules[i]))
      .map((options) => `${prompt} ${JSON.stringify(options)}`),
  );
  assert.deepEqual(wrong, []);
  recordParity({
    part,
    case: 'a1111_prompts',
    output: 'schedules',
    reference: version,
    error: wrong.length,
    tolerance: 0,
  });
});

test('a1111: prompts joined by AND', () => {
  const errors = rows.map(({ prompt, multicond: { indexes, flat } }) => {
    const want = (indexes[0] ?? []).map(([index, weight]) => [flat[index] ?? '', weight] as const);
    return weightError(
      promptParts(prompt).map(({ text, weight }) => [text, weight] as const),
      want,
    );
  });
  recordParity({
    part,
    case: 'a1111_prompts',
    output: 'multicond',
    reference: version,
    error: Math.max(...errors),
    tolerance: 1e-12,
  });
});

interface ChunkRow {
  readonly comma_padding_backtrack: number;
  readonly prompt: string;
  readonly token_count: number;
  readonly chunks: readonly { readonly tokens: readonly number[]; readonly multipliers: readonly number[] }[];
}

test('a1111_chunks: sequences, weights and number of tokens', () => {
  const tokenizer = createClipTokenizer({ profile: 'hf5' });
  const cut = <T>(values: readonly T[], end: T): T[] =>
    values.slice(0, values.findLastIndex((value) => value !== end) + 1);
  let differing = 0;
  let largest = 0;
  for (const { prompt, comma_padding_backtrack: commaBacktrack, token_count, chunks } of json<ChunkRow[]>(
    'a1111_chunks',
  )) {
    const got = promptChunks(tokenizer, prompt, { commaBacktrack });
    const ids = got.chunks.map((chunk) => cut(chunk.ids, 49407));
    if (got.count !== token_count || JSON.stringify(ids) !== JSON.stringify(chunks.map(({ tokens }) => tokens)))
      differing++;
    assert.ok(got.chunks.every((chunk) => chunk.ids.length === 77 && chunk.weights.length === 77));
    largest = Math.max(
      largest,
      ...got.chunks.map((chunk, i) =>
        weightError(
          cut(chunk.weights, 1).map((weight) => ['', weight]),
          (chunks[i]?.multipliers ?? []).map((weight) => ['', weight]),
        ),
      ),
    );
  }
  recordParity({ part, case: 'a1111_chunks', output: 'tokens', reference: version, error: differing, tolerance: 0 });
  recordParity({
    part,
    case: 'a1111_chunks',
    output: 'multipliers',
    reference: version,
    error: largest,
    tolerance: 1e-12,
  });
});

test('a1111_emphasis: what the modes make of a context', () => {
  const tensors = readTensors(reference('diffusion/prompts/a1111_emphasis.safetensors'));
  const {
    data,
    shape: [n = 0, tokens = 0],
  } = expectDType(pick(tensors, 'multipliers'), 'float32');
  const weights = Array.from({ length: n }, (_, i) => [...data.subarray(i * tokens, (i + 1) * tokens)]);
  for (const emphasis of emphases) {
    const output = `out.${emphasis.replace(' ', '_')}`;
    compareTensor(
      { part, case: 'a1111_emphasis', output, reference: version, tolerance: 1e-5 },
      applyEmphasis(expectDType(pick(tensors, 'z'), 'float32'), weights, emphasis),
      pick(tensors, output),
    );
  }
});

interface NetworkRow {
  readonly prompt: string;
  readonly text: string;
  readonly networks: Readonly<
    Record<
      string,
      readonly {
        readonly positional: string[];
        readonly named: Readonly<Record<string, string>>;
        readonly items: string[];
      }[]
    >
  >;
}

test('extra_networks: what <kind:arguments> says', () => {
  const differing = json<NetworkRow[]>('extra_networks').filter((row) => {
    const { text, networks } = extraNetworks(row.prompt);
    const kinds = [...new Set(networks.map(({ kind }) => kind))];
    const byKind = Object.fromEntries(
      kinds.map((wanted) => [
        wanted,
        networks
          .filter(({ kind }) => kind === wanted)
          .map(({ positional, named, items }) => ({ positional, named: Object.fromEntries(named), items })),
      ]),
    );
    return JSON.stringify({ text, networks: byKind }) !== JSON.stringify({ text: row.text, networks: row.networks });
  });
  recordParity({
    part,
    case: 'extra_networks',
    output: 'text, arguments',
    reference: version,
    error: differing.length,
    tolerance: 0,
  });
});
