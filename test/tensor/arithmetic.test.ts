/** Elementwise arithmetic: values, broadcasting, shapes that do not agree. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addScaled,
  blend,
  clamp,
  concatenate,
  linearCombination,
  scale,
  subtract,
} from '../../src/tensor/arithmetic.ts';
import { float32 } from '../../src/tensor/tensor.ts';

const a = float32([2, 2], [1, 2, 3, 4]);
const b = float32([2, 2], [10, 20, 30, 40]);
const c = float32([2, 2], [100, 200, 300, 400]);

test('linear combinations of one to four tensors, and what is made of them', () => {
  assert.deepEqual([...linearCombination([2, a]).data], [2, 4, 6, 8]);
  assert.deepEqual([...linearCombination([2, a], [1, b]).data], [12, 24, 36, 48]);
  assert.deepEqual([...linearCombination([1, a], [1, b], [1, c]).data], [111, 222, 333, 444]);
  assert.deepEqual([...linearCombination([1, a], [1, b], [1, c], [-1, c]).data], [11, 22, 33, 44]);
  assert.deepEqual([...scale(a, -1).data], [-1, -2, -3, -4]);
  assert.deepEqual([...addScaled(a, 0.5, b).data], [6, 12, 18, 24]);
  assert.deepEqual([...subtract(b, a).data], [9, 18, 27, 36]);
  assert.deepEqual([...clamp(a, 2, 3).data], [2, 2, 3, 3]);
  assert.deepEqual([...a.data], [1, 2, 3, 4]);
});

test('blend broadcasts its mask', () => {
  assert.deepEqual([...blend(float32([1, 2], [1, 0]), a, b).data], [1, 20, 3, 40]);
  assert.deepEqual([...blend(float32([2, 1], [1, 0.5]), a, b).data], [1, 2, 16.5, 22]);
  assert.deepEqual([...blend(float32([1, 1], [0]), a, b).data], [...b.data]);
});

test('concatenate', () => {
  assert.deepEqual([...concatenate([a, b], 0).data], [1, 2, 3, 4, 10, 20, 30, 40]);
  const wide = concatenate([a, float32([2, 1], [7, 8])], 1);
  assert.deepEqual(
    [wide.shape, [...wide.data]],
    [
      [2, 3],
      [1, 2, 7, 3, 4, 8],
    ],
  );
});

test('shapes that do not agree are refused', () => {
  const other = float32([4], [1, 2, 3, 4]);
  for (const wrong of [
    () => subtract(a, other),
    () => linearCombination([1, a], [1, b], [1, other]),
    () => blend(float32([3, 1], [1, 1, 1]), a, b),
    () => concatenate([a, other], 0),
    () => blend(float32([1, 1], [1]), a, other),
  ]) {
    assert.throws(wrong, { code: 'shape-mismatch' });
  }
});
