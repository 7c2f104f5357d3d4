/** BERT's tokenizer: special tokens, long words, refused vocabularies, any string. The ids are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { StableDiffusionError } from '../../src/errors.ts';
import { createBertTokenizer } from '../../src/tokenizer/bert-tokenizer.ts';
import { reference } from '../reference.ts';

const vocab = readFileSync(reference('files/tokenizers/bert-vocab.txt'), 'utf8');

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
