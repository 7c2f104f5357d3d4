/** Token ids of CLIP's and BERT's tokenizers by every profile, cut to 77, and the cleaned text. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createBertTokenizer } from '../../../src/tokenizer/bert-tokenizer.ts';
import { CLIP_PROFILES, cleanClipText } from '../../../src/tokenizer/clip-text.ts';
import { type ClipProfile, createClipTokenizer } from '../../../src/tokenizer/clip-tokenizer.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import type { Reader } from '../reader.ts';

/** Ids with start and end, or the error of a reference that fails on lone surrogates. */
type RecordedIds = readonly number[] | { readonly error: string };

interface Row extends Partial<Record<ClipProfile, RecordedIds>> {
  readonly text: string;
  readonly ids: readonly number[];
  readonly truncated: boolean;
  readonly clean: string;
  readonly openai77?: readonly number[];
  readonly hf77?: readonly number[];
  readonly hf_fast77?: RecordedIds;
  readonly fast?: RecordedIds;
  readonly ids77?: readonly number[];
}

interface RecordedTexts {
  readonly vocab: number;
  readonly start: number;
  readonly end: number;
  readonly rows: readonly Row[];
}

export const reader: Reader = {
  set: 'files',
  reads: ({ exercises }) => /CLIP BPE|BERT wordpiece/.test(String(exercises)),
  compare: collecting(({ setFolder, row }, compare) => {
    const path = join(setFolder, String(row['file']));
    const recorded: RecordedTexts = JSON.parse(readFileSync(path, 'utf8'));
    if (/BERT/.test(String(row['exercises'])))
      compareBert(recorded.rows, readFileSync(join(setFolder, 'tokenizers/bert-vocab.txt'), 'utf8'), compare);
    else compareClip(recorded, compare);
  }),
};

/** Counts the texts whose ids differ; those on which the reference fails have no ids. */
function compareIds(
  compare: Comparisons,
  output: string,
  rows: readonly Row[],
  wanted: (row: Row) => RecordedIds | undefined,
  got: (row: Row) => readonly number[],
): void {
  const recorded = rows.filter((row) => wanted(row) !== undefined);
  const failing = recorded.filter((row) => 'error' in Object(wanted(row)));
  const differing = recorded.filter((row) => {
    const want = wanted(row);
    return Array.isArray(want) && want.join() !== got(row).join();
  });
  const note = failing.length > 0 ? `the reference fails on ${failing.length} texts with lone surrogates` : undefined;
  compare.error(output, recorded.length > failing.length ? differing.length : Number.POSITIVE_INFINITY, 0, { note });
}

function compareClip({ vocab, start, end, rows }: RecordedTexts, compare: Comparisons): void {
  for (const profile of Object.keys(CLIP_PROFILES) as ClipProfile[]) {
    const tokenizer = createClipTokenizer({ vocabSize: vocab, profile });
    const { startId, endId, vocabSize } = tokenizer;
    compare.exact(`special ids of ${profile}`, [startId, endId, vocabSize], [start, end, vocab]);
    compareIds(
      compare,
      `ids of ${profile}`,
      rows,
      (row) => (profile === 'openai' ? row.ids : (row[profile] ?? row.ids)),
      ({ text }) => [startId, ...tokenizer.encode(text), endId],
    );
  }
  const zero = createClipTokenizer({ vocabSize: vocab, pad: 'zero' });
  const whole = (row: Row): readonly number[] => row.openai77 ?? row.ids;
  compareIds(
    compare,
    'openai77',
    rows,
    (row) => [...whole(row), ...new Array<number>(77 - whole(row).length).fill(0)],
    ({ text }) => zero.tokenize(text).ids,
  );
  const marks = rows.filter(({ text, truncated }) => zero.tokenize(text).truncated !== truncated);
  compare.error('truncated', marks.length, 0);
  const padded = createClipTokenizer({ vocabSize: vocab });
  compareIds(
    compare,
    'hf77',
    rows,
    (row) => row.hf77,
    ({ text }) => padded.tokenize(text).ids,
  );
  const fast = createClipTokenizer({ vocabSize: vocab, profile: 'hf_fast' });
  compareIds(
    compare,
    'hf_fast77',
    rows,
    (row) => row.hf_fast77,
    ({ text }) => fast.tokenize(text).ids,
  );
  compare.error('clean', rows.filter(({ text, clean }) => cleanClipText(text) !== clean).length, 0);
}

function compareBert(rows: readonly Row[], vocab: string, compare: Comparisons): void {
  for (const profile of ['fast', 'slow'] as const) {
    const tokenizer = createBertTokenizer({ vocab, profile });
    compareIds(
      compare,
      `ids of ${profile}`,
      rows,
      (row) => (profile === 'fast' ? (row.fast ?? row.ids) : row.ids),
      ({ text }) => [tokenizer.startId, ...tokenizer.encode(text), tokenizer.endId],
    );
  }
  const tokenizer = createBertTokenizer({ vocab });
  compareIds(
    compare,
    'ids77',
    rows,
    (row) => row.ids77,
    ({ text }) => tokenizer.tokenize(text).ids,
  );
}
