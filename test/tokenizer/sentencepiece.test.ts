/**
 * SentencePiece's tokenizer beside the recorded cases (test/parity): byte-pair models, bytes of unknown characters, pieces of the user, other rules
 * of spaces, `tokenizer.json`, damaged files. The rows of fixtures/tokenizer/sentencepiece are sentencepiece 0.2.3's.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { StableDiffusionError } from '../../src/errors.ts';
import { createSentencePieceTokenizer, sentencePieceTokenizer } from '../../src/tokenizer/sentencepiece/tokenizer.ts';
import { readTokenizerJson } from '../../src/tokenizer/sentencepiece/tokenizer-json.ts';

const folder = join(import.meta.dirname, '../../fixtures/tokenizer/sentencepiece');

interface Row {
  readonly text: string;
  readonly ids: readonly number[];
  readonly pieces: readonly string[];
  readonly decoded: string;
}
const recorded: Readonly<Record<string, readonly Row[]>> = JSON.parse(readFileSync(join(folder, 'rows.json'), 'utf8'));
const modelFile = (name: string) => readFileSync(join(folder, `${name}.model`));
const jsonFile = (name: string) => readFileSync(join(folder, `${name}.json`), 'utf8');
const refused = (code: string) => (error: unknown) => error instanceof StableDiffusionError && error.code === code;

test('ids, pieces and decoded texts are those of SentencePiece', () => {
  assert.equal(Object.keys(recorded).length, 4);
  for (const [name, rows] of Object.entries(recorded)) {
    const tokenizer = createSentencePieceTokenizer(modelFile(name));
    assert.ok(rows.length > 10);
    for (const { text, ids, pieces, decoded } of rows) {
      assert.deepEqual(tokenizer.encode(text), ids, `${name}: ${text}`);
      assert.deepEqual(tokenizer.pieces(text), pieces, `${name}: ${text}`);
      assert.equal(tokenizer.decode(ids), decoded, `${name}: ${text}`);
    }
  }
});

test('tokenizer.json gives the ids of the model file that it was made from', () => {
  for (const name of ['unigram-bytes', 'bpe-user']) {
    const tokenizer = sentencePieceTokenizer(readTokenizerJson(jsonFile(name)));
    for (const { text, ids } of recorded[name] ?? []) assert.deepEqual(tokenizer.encode(text), ids, `${name}: ${text}`);
    assert.deepEqual([tokenizer.endId, tokenizer.padId, tokenizer.unknownId], [1, 0, 2]);
  }
});

test('a sequence has the end token and padding, and says where it was cut', () => {
  const tokenizer = createSentencePieceTokenizer(modelFile('bpe-user'));
  const whole = tokenizer.encode('a red apple');
  assert.deepEqual(tokenizer.tokenize('a red apple', { length: whole.length + 3 }), {
    ids: [...whole, 1, 0, 0],
    count: whole.length + 1,
    truncated: false,
  });
  assert.deepEqual(tokenizer.tokenize('a red apple', { length: 2 }), {
    ids: [whole[0], 1],
    count: 2,
    truncated: true,
  });
  assert.throws(() => tokenizer.tokenize('a', { length: 0 }), refused('invalid-argument'));
});

test('damaged files and other tokenizers are refused', () => {
  const bytes = modelFile('bpe-user');
  assert.throws(() => createSentencePieceTokenizer(bytes.subarray(0, bytes.length - 3)), refused('file-corrupt'));
  assert.throws(() => createSentencePieceTokenizer(new Uint8Array()), refused('file-corrupt'));
  assert.throws(() => createSentencePieceTokenizer(new Uint8Array(64).fill(0xff)), refused('file-corrupt'));
  assert.throws(() => readTokenizerJson('{'), refused('file-corrupt'));
  const other = { ...JSON.parse(jsonFile('bpe-user')), pre_tokenizer: { type: 'ByteLevel' } };
  assert.throws(() => readTokenizerJson(JSON.stringify(other)), refused('config-invalid'));
  assert.throws(() => readTokenizerJson('{"model":{"type":"WordPiece"}}'), refused('config-invalid'));
});

test('no damaged model file and no string throws anything but an error of this program', () => {
  const bytes = modelFile('unigram-bytes');
  const edit = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 8 }), fc.string({ maxLength: 40, unit: 'binary' }), (edits, text) => {
      const damaged = Uint8Array.from(bytes);
      for (const [at, value] of edits) damaged[at] = value;
      try {
        createSentencePieceTokenizer(damaged).encode(text);
      } catch (error) {
        assert.ok(error instanceof StableDiffusionError, String(error));
      }
    }),
    { numRuns: 200, seed: 1 },
  );
});
