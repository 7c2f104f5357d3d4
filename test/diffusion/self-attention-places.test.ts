/** Where self-attention guidance blurs: the places of PyTorch's nearest interpolation. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blurAttended } from '../../src/diffusion/self-attention-guidance.ts';
import { float32 } from '../../src/tensor/tensor.ts';

/** Rows of a latent of 122 x 8 that change where one of its 16 tokens is attended. */
function blurredRows(token: number): number[] {
  const latent = float32(
    [1, 1, 122, 8],
    Float32Array.from({ length: 976 }, (_, i) => Math.sin(i * i)),
  );
  const attention = float32(
    [1, 16],
    Float32Array.from({ length: 16 }, (_, i) => (i === token ? 2 : 0)),
  );
  const { data } = blurAttended(latent, attention);
  return Array.from({ length: 122 }, (_, row) => row).filter((row) => data[8 * row] !== latent.data[8 * row]);
}

test('a row whose place falls on a whole number is rounded as PyTorch rounds it', () => {
  // torch.nn.functional.interpolate(torch.arange(16.).view(1, 1, 16, 1), (122, 1)): row 61 takes token 7, as 61 * float32(16 / 122) is below 8.
  assert.deepEqual(blurredRows(7), [54, 55, 56, 57, 58, 59, 60, 61]);
  assert.deepEqual(blurredRows(8), [62, 63, 64, 65, 66, 67, 68]);
});
