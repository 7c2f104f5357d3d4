/** The rule of the full-size checkpoint against the recorded values and hashes: what the full-size tests and benchmarks stand on. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fillMadeUp, madeUp, sha256 } from '../../bench/full-size-rule.ts';
import { reference } from '../reference.ts';

interface Vector {
  readonly shape: readonly number[];
  readonly first6: readonly number[];
  readonly last2: readonly number[];
  readonly sha256_f32le: string;
}

const vectors: Readonly<Record<string, Readonly<Record<string, Vector>>>> = JSON.parse(
  readFileSync(reference('files/full-size/generator-vectors.json'), 'utf8'),
);

for (const [name, seeds] of Object.entries(vectors)) {
  for (const [seed, { shape, first6, last2, sha256_f32le }] of Object.entries(seeds)) {
    test(`${name} with seed ${seed}`, () => {
      const made = madeUp(name, shape, Number(seed));
      assert.deepEqual([...made.data.subarray(0, 6)], first6);
      assert.deepEqual([...made.data.subarray(-2)], last2);
      assert.equal(sha256(made), sha256_f32le);
    });
  }
}

test('a tensor made in pieces is the same', () => {
  const shape = [7, 31];
  const whole = madeUp('some.weight', shape).data;
  const piece = new Float32Array(100);
  fillMadeUp(piece, 'some.weight', shape, undefined, 90);
  assert.deepEqual(piece, whole.slice(90, 190));
});
