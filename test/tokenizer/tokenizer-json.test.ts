/** Damaged and hostile `tokenizer.json`: refused by name. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTokenizerJson } from '../../src/tokenizer/sentencepiece/tokenizer-json.ts';

const model = { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0]] };
const withNormalizer = (normalizer: string): string => `{"model":${JSON.stringify(model)},"normalizer":${normalizer}}`;

test('a part of a sequence without a type', () => {
  const text = withNormalizer('{"type":"Sequence","normalizers":[{"typ":"Strip"}]}');
  assert.throws(() => readTokenizerJson(text, 'x.json'), {
    code: 'config-invalid',
    message: /^x\.json: .*without a type/,
  });
});

test('sequences within five thousand others', () => {
  const open = '{"type":"Sequence","normalizers":[';
  const text = withNormalizer(`${open.repeat(5000)}${']}'.repeat(5000)}`);
  assert.throws(() => readTokenizerJson(text, 'x.json'), { code: 'config-invalid', message: /within more than 16/ });
});
