/** GGUF files that are cut, lie about their size, or hold types that are not supported. Their values are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { openWeights } from '../../src/formats/open-weights.ts';
import { reference } from '../reference.ts';

const file = new Uint8Array(readFileSync(reference('families/gguf/types.gguf')));
const open = (bytes: Uint8Array) => openWeights(memoryBytes(bytes, 'x.gguf'));
const changed = (at: number, ...values: number[]): Uint8Array => {
  const bytes = file.slice();
  bytes.set(values, at);
  return bytes;
};

test('opened by its content; quantised tensors are float32, the others as they are', async () => {
  const source = await open(file);
  assert.deepEqual(source.entries.get('all.Q4_K'), { name: 'all.Q4_K', dtype: 'float32', shape: [3, 512] });
  assert.equal(source.entries.get('all.BF16')?.dtype, 'bfloat16');
  assert.deepEqual(source.entries.get('conv.Q4_0')?.shape, [8, 32, 3, 3]);
  await source.close();
});

test('every cut of the header, and a cut of the data, is refused by name', async () => {
  for (const length of [4, 9, 24, 40, 200, 1000, 1800]) await assert.rejects(open(file.slice(0, length)), /x\.gguf/);
  await assert.rejects(open(file.slice(0, file.length - 40)), { code: 'file-truncated', message: /x\.gguf/ });
});

test('unknown versions and counts that lie are refused before memory is spent', async () => {
  await assert.rejects(open(changed(4, 9)), { code: 'file-unsupported', message: /version 9/ });
  await assert.rejects(open(changed(8, 0xff, 0xff, 0xff, 0xff, 0xff)), { code: 'file-corrupt' });
  await assert.rejects(open(changed(15, 0xff)), { code: 'file-corrupt' });
});
