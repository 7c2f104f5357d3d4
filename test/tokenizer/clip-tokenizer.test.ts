/** CLIP's tokenizer: from files, decoding, added tokens, hostile text. The ids are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { StableDiffusionError } from '../../src/errors.ts';
import { type ClipProfile, createClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { CLIP_PROFILES } from '../../src/tokenizer/clip-text.ts';
import { createClipTokenizerFromFiles } from '../../src/tokenizer/clip-tokenizer-files.ts';
import { assertWithin } from '../parity.ts';
import { reference } from '../reference.ts';
import { assertNotQuadratic } from '../processor-time.ts';

/** Ids with start and end, or the error of a reference that fails on lone surrogates. */
type Recorded = readonly number[] | { readonly error: string };

interface Row extends Partial<Record<ClipProfile, Recorded>> {
  readonly text: string;
  readonly ids: readonly number[];
  readonly truncated: boolean;
  readonly clean: string;
  readonly openai77?: readonly number[];
  readonly hf77?: readonly number[];
  readonly hf_fast77?: Recorded;
}

const PROFILES = Object.keys(CLIP_PROFILES) as ClipProfile[];
const json = (path: string) => JSON.parse(readFileSync(reference(path), 'utf8'));
const text = (path: string) => readFileSync(reference(path), 'utf8');
const same = (a: readonly unknown[], b: readonly unknown[]) => a.join() === b.join();

for (const [folder, size] of [
  ['files/diffusers/tiny-sd/tokenizer', 8192],
  ['diffusion/pipelines/tiny-clip', 2048],
] as const) {
  test(`${folder}: the files give the tokenizer that the number of rows gives`, () => {
    const fromFiles = createClipTokenizerFromFiles({
      merges: text(`${folder}/merges.txt`),
      vocab: text(`${folder}/vocab.json`),
      config: text(`${folder}/tokenizer_config.json`),
    });
    const fromRows = createClipTokenizer({ vocabSize: size });
    assert.deepEqual(
      [fromFiles.vocabSize, fromFiles.startId, fromFiles.endId, fromFiles.padId],
      [size, size - 2, size - 1, size - 1],
    );
    const { rows } = json('files/tokenizers/clip.json') as { rows: Row[] };
    const differing = rows.filter((r) => !same(fromFiles.tokenize(r.text).ids, fromRows.tokenize(r.text).ids));
    assertWithin({ part: folder, case: 'tokenizer', output: 'ids', error: differing.length, tolerance: 0 });
    const withoutVocab = createClipTokenizerFromFiles({ merges: text(`${folder}/merges.txt`) });
    assert.deepEqual(withoutVocab.tokenize(rows[20]?.text ?? ''), fromRows.tokenize(rows[20]?.text ?? ''));
    for (const id of [0, 300, 600, size - 3]) assert.equal(fromFiles.decode([id]), fromRows.decode([id]));
  });
}

test('decode gives the cleaned words back', () => {
  const tokenizer = createClipTokenizer();
  const { ids } = tokenizer.tokenize('A Photo of a café, 猫 and 😀!');
  assert.equal(tokenizer.decode(ids), 'a photo of a café , 猫 and 😀!');
  assert.equal(tokenizer.decode([-1, 1.5, 1e9, tokenizer.startId, tokenizer.endId]), '');
});

test('rows beyond the 49,408 are added tokens, and too few rows are refused', () => {
  const added = createClipTokenizer({ vocabSize: 49_410 });
  assert.deepEqual([added.startId, added.endId, added.vocabSize], [49_406, 49_407, 49_410]);
  const bytes = createClipTokenizer({ vocabSize: 514 });
  assert.deepEqual(bytes.tokenize('ab', { length: 5 }), {
    ids: [512, 64, 65 + 256, 513, 513],
    count: 4,
    truncated: false,
  });
  const refused = (code: string) => (error: unknown) => error instanceof StableDiffusionError && error.code === code;
  for (const vocabSize of [0, 513, 600.5, Number.NaN])
    assert.throws(() => createClipTokenizer({ vocabSize }), refused('invalid-argument'));
  assert.throws(() => createClipTokenizer({ pad: 49_408 }), refused('invalid-argument'));
  assert.throws(() => createClipTokenizer().tokenize('a', { length: 1 }), refused('invalid-argument'));
  assert.throws(() => createClipTokenizerFromFiles({ merges: 'a b c' }), refused('file-corrupt'));
  assert.throws(() => createClipTokenizerFromFiles({ merges: 'a b', vocab: '[]' }), refused('file-corrupt'));
  assert.throws(() => createClipTokenizerFromFiles({ merges: 'a b', vocab: '{"a": "1"}' }), refused('file-corrupt'));
  assert.throws(() => createClipTokenizerFromFiles({ merges: 'a b', vocab: '{"a": 1}' }), refused('file-corrupt'));
});

test('no string throws, and every id is a token', () => {
  const tokenizers = PROFILES.map((profile) => createClipTokenizer({ profile, vocabSize: 2048 }));
  const unit = fc.oneof(
    fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
    fc.string({ unit: 'binary', maxLength: 4 }),
    fc.constantFrom('&amp', '&#', ';', '<', 'Ã©', 'â€™', '\x1b[', '<|endoftext|>', "'s", '\0', '\ufeff', 'ﬅ', '\u0345'),
  );
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 40 }), (parts) => {
      for (const tokenizer of tokenizers) {
        const ids = tokenizer.encode(parts.join(''));
        assert.ok(ids.every((id) => Number.isInteger(id) && id >= 0 && id < tokenizer.vocabSize));
        tokenizer.decode(ids);
      }
    }),
    { numRuns: 400, seed: 1 },
  );
});

test('time is not quadratic in the length of hostile text', () => {
  const hostile = (n: number): Record<string, string> => ({
    'one word': 'x'.repeat(n),
    'a word without repetition': Array.from({ length: n }, (_, i) =>
      String.fromCharCode(97 + ((i * i * 7 + i) % 26)),
    ).join(''),
    'entities in entities': `&${'amp;'.repeat(n / 4)}`,
    'layers that peel one a round': '&#1'.repeat(n / 4) + ';'.repeat(n / 4),
    mojibake: 'Ã©â€™'.repeat(n / 5),
    'mojibake of two encodings': `${'ÃƒÂ©'.repeat(n / 5)}日`,
    escapes: '\x1b[1'.repeat(n / 3),
    'marks out of order': '\u0315\u0316'.repeat(n / 2),
    'white space': `${' '.repeat(n)}x${' '.repeat(n)}`,
    surrogates: '\ud800'.repeat(n),
  });
  const tokenizers = PROFILES.map((profile) => createClipTokenizer({ profile }));
  for (const name of Object.keys(hostile(0)))
    for (const tokenizer of tokenizers)
      assertNotQuadratic(`${name} (${tokenizer.profile})`, 15_000, (n) => tokenizer.encode(hostile(n)[name] ?? ''));
});
