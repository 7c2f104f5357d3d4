/** BERT's tokenizer against transformers 4.46.3, on every text of the reference set. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { StableDiffusionError } from '../../src/errors.ts';
import { createBertTokenizer } from '../../src/tokenizer/bert-tokenizer.ts';
import { recordParity } from '../parity.ts';
import { reference } from '../reference.ts';

interface Row {
  readonly text: string;
  readonly ids: readonly number[];
  readonly fast?: readonly number[] | { readonly error: string };
  readonly ids77?: readonly number[];
}

const vocab = readFileSync(reference('files/tokenizers/bert-vocab.txt'), 'utf8');
const { rows } = JSON.parse(readFileSync(reference('files/tokenizers/bert.json'), 'utf8')) as { rows: Row[] };
const row = { part: 'files/tokenizers', case: 'bert', tolerance: 0 };

for (const profile of ['fast', 'slow'] as const) {
  test(`the ids of ${profile}`, () => {
    const tokenizer = createBertTokenizer({ vocab, profile });
    let failing = 0;
    const differing = rows.filter((r) => {
      const want = profile === 'fast' ? (r.fast ?? r.ids) : r.ids;
      if ('error' in want) failing++;
      return (
        !('error' in want) && [tokenizer.startId, ...tokenizer.encode(r.text), tokenizer.endId].join() !== want.join()
      );
    });
    const note =
      failing > 0
        ? { note: `${failing} texts with lone surrogates make the reference fail; here these are dropped` }
        : {};
    recordParity({ ...row, output: `ids ${profile}`, error: differing.length, ...note });
  });
}

test('sequences of 77', () => {
  const tokenizer = createBertTokenizer({ vocab });
  const differing = rows.filter((r) => r.ids77 && tokenizer.tokenize(r.text).ids.join() !== r.ids77.join());
  recordParity({ ...row, output: 'ids77', error: differing.length, tolerance: 0 });
});

test('special tokens, long words, decoding', () => {
  const tokenizer = createBertTokenizer({ vocab });
  assert.deepEqual(tokenizer.encode('[CLS] a [MASK][UNK]'), [9, 50, 11, 8]);
  assert.deepEqual(tokenizer.encode('a'.repeat(101)), [tokenizer.unknownId]);
  assert.equal(tokenizer.encode('a'.repeat(100)).length, 100);
  assert.equal(tokenizer.decode(tokenizer.tokenize('A Dog, jumped!').ids), 'a dog , jumped !');
  const { ids, count, truncated } = tokenizer.tokenize('a dog', { length: 3 });
  assert.deepEqual([ids, count, truncated], [[9, 50, 10], 3, true]);
});

test('a vocabulary without [UNK], and an impossible length, are refused', () => {
  const refused = (code: string) => (error: unknown) => error instanceof StableDiffusionError && error.code === code;
  assert.throws(() => createBertTokenizer({ vocab: '[PAD]\n[CLS]\n[SEP]\n' }), refused('file-corrupt'));
  assert.throws(() => createBertTokenizer({ vocab }).tokenize('a', { length: 1 }), refused('invalid-argument'));
});

test('no string throws', () => {
  const tokenizers = (['fast', 'slow'] as const).map((profile) => createBertTokenizer({ vocab, profile }));
  const unit = fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code));
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 60 }), (units) => {
      for (const tokenizer of tokenizers)
        assert.ok(tokenizer.encode(units.join('')).every((id) => id >= 0 && id < tokenizer.vocabSize));
    }),
    { numRuns: 300, seed: 1 },
  );
});
