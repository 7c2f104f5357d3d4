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

/** A GGUF file: texts and numbers as the format has them, and data of zeros. */
function ggufOf(
  values: readonly Buffer[],
  tensors: readonly { name: string; axes: number[]; type: number }[],
): Uint8Array {
  const u32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const parts = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(values.length), ...values];
  for (const { name, axes, type } of tensors)
    parts.push(text(name), u32(axes.length), ...axes.map(u64), u32(type), u64(0));
  return new Uint8Array(Buffer.concat([...parts, Buffer.alloc(4096)]));
}
function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
const text = (value: string): Buffer => Buffer.concat([u64(value.length), Buffer.from(value)]);
const list = (type: number, count: number): Buffer =>
  Buffer.concat([text('key'), Buffer.from([9, 0, 0, 0, type, 0, 0, 0]), u64(count)]);

test('a long list in the metadata is refused before it is made', async () => {
  const file = ggufOf([Buffer.concat([list(0, 5_000_000), Buffer.alloc(5_000_000)])], []);
  await assert.rejects(open(file), { code: 'file-corrupt', message: /more than 2000000 items/ });
});

test('tensors that share their bytes are refused: a small file describes no large ones', async () => {
  const tensors = Array.from({ length: 1000 }, (_, i) => ({ name: `t${i}`, axes: [1000], type: 0 }));
  await assert.rejects(open(ggufOf([], tensors)), { code: 'file-corrupt', message: /bytes together/ });
  const source = await open(ggufOf([], tensors.slice(0, 1)));
  assert.deepEqual(source.entries.get('t0')?.shape, [1000]);
  await source.close();
});
