/** Values of fixed blocks of every type of GGUF, equal to the bit to those of the Python package gguf (tools/peers/gguf_blocks.py). */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { blockTypes } from '../../src/formats/gguf-blocks.ts';
import { reference } from '../reference.ts';

const recorded: Readonly<Record<string, { readonly exponents: readonly number[]; readonly sha256: string }>> =
  JSON.parse(readFileSync(reference('families/gguf/blocks.json'), 'utf8'));

const count = 512;

/** The numbers of the recording. `exponents` are bytes of a block whose second highest bit is cleared, so that all values are finite. */
function blocksOf(bytes: number, exponents: readonly number[]): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length: count * bytes }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 24) & (exponents.includes(i % bytes) ? 0xbf : 0xff);
  });
}

test('every type is recorded', () => {
  assert.deepEqual([...blockTypes.values()].map(({ name }) => name).sort(), Object.keys(recorded).sort());
});

for (const { name, size, bytes, read } of blockTypes.values())
  test(`${name}: the values of ${count} blocks`, () => {
    const { exponents, sha256 } = recorded[name] ?? assert.fail(`${name} is not recorded`);
    const blocks = blocksOf(bytes, exponents);
    const out = new Float32Array(count * size);
    for (let i = 0; i < count; i++) read(new DataView(blocks.buffer, i * bytes, bytes), out, i * size);
    assert.equal(createHash('sha256').update(new Uint8Array(out.buffer)).digest('hex'), sha256);
  });
