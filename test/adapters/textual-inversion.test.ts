/** Textual inversion: vectors that do not fit, and placeholders in prompts. Files of every form are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseModelConfig } from '../../src/config/model-config.ts';
import { type ClipTextConfig, networkConfigSchema } from '../../src/config/network-config.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { withPlaceholders } from '../../src/tokenizer/clip-placeholders.ts';
import { createClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { canonicalWeights } from '../../src/checkpoints/canonical.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { withEmbeddings } from '../../src/adapters/textual-inversion.ts';
import { reference } from '../reference.ts';
import { readTensors } from '../tensors.ts';

const config = networkConfigSchema.parse(
  parseModelConfig(
    readFileSync(join(reference('networks/clip_text_quick_gelu'), 'config.json'), 'utf8'),
    'config.json',
  ),
) as ClipTextConfig;
const encoder = () =>
  canonicalWeights(memoryWeights(readTensors(reference('networks/clip_text_quick_gelu/weights.safetensors'))), config)
    .source;

test('vectors of another width and one name twice are refused', () => {
  const vectors = (width: number) => float32([1, width], new Float32Array(width));
  assert.throws(() => withEmbeddings(encoder(), config, [{ token: 'a', vectors: vectors(1024) }]), {
    code: 'weights-mismatch',
  });
  assert.throws(
    () =>
      withEmbeddings(encoder(), config, [
        { token: 'a', vectors: vectors(32) },
        { token: 'a', vectors: vectors(32) },
      ]),
    { code: 'invalid-argument' },
  );
});

test('placeholders in prompts: whole words, any case, the longest first', () => {
  const plain = createClipTokenizer();
  const tokenizer = withPlaceholders(plain, [
    { token: '<cat-toy>', ids: [49408, 49409] },
    { token: 'sks', ids: [49410] },
    { token: 'sks dog', ids: [49411] },
  ]);
  assert.equal(tokenizer.vocabSize, 49412);
  const a = plain.encode('a photo of');
  assert.deepEqual(tokenizer.encode('a photo of <cat-toy>, red'), [...a, 49408, 49409, ...plain.encode(', red')]);
  assert.deepEqual(tokenizer.encode('A photo of<CAT-TOY>'), [...a, 49408, 49409]);
  assert.deepEqual(tokenizer.encode('sks sks dog'), [49410, 49411]);
  assert.deepEqual(tokenizer.encode('tasks sksy'), plain.encode('tasks sksy'));
  const { ids, count, truncated } = tokenizer.tokenize('sks cat', { length: 5 });
  assert.deepEqual([ids, count, truncated], [[49406, 49410, ...plain.encode('cat'), 49407, 49407], 4, false]);
  assert.equal(
    tokenizer.decode([...a, 49408, 49409, ...plain.encode('on a table')]),
    'a photo of <cat-toy> on a table',
  );
});
