/** Blending of a known latent into the one that is sampled. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blend } from '../../src/tensor/arithmetic.ts';

test('masked blending: 1 keeps the known latent', () => {
  const kept = blend(
    { dtype: 'float32', shape: [1, 1, 1, 2], data: Float32Array.of(1, 0) },
    { dtype: 'float32', shape: [1, 2, 1, 2], data: Float32Array.of(1, 2, 3, 4) },
    { dtype: 'float32', shape: [1, 2, 1, 2], data: Float32Array.of(5, 6, 7, 8) },
  );
  assert.deepEqual([...kept.data], [1, 6, 3, 8]);
});
