/** The latent that an editing model sees behind the one that is sampled (`IP2P` of ComfyUI's model_base.py, `resize_to_batch_size` of its utils.py). */

import assert from 'node:assert/strict';
import test from 'node:test';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { float32, zeros } from '../../src/tensor/tensor.ts';
import { editedConcat } from '../../src/workflow/sampling/edited-concat.ts';
import type { ModelValue } from '../../src/workflow/values/model.ts';

const model = { network: { config: { in_channels: 2, out_channels: 1 } }, config: {} } as unknown as ModelValue;

/** The items that a run of `count` sees of `own` ones. */
function seen(own: number, count: number): readonly number[] {
  const latent = zeros('float32', [count, 1, 1, 1]);
  const picture = float32(
    [own, 1, 1, 1],
    Array.from({ length: own }, (_, i) => i),
  );
  const entry = { cond: zeros('float32', [1, 1, 1]), concat_latent_image: picture };
  const run = { shape: latent.shape, latent, random: new TorchGenerator(0), seed: 0 };
  return Array.from(editedConcat(model, entry, run)?.data ?? []);
}

test('pictures are spread evenly over the batch, halves to the even one as in Python', () => {
  assert.deepEqual(seen(6, 3), [0, 2, 5]);
  assert.deepEqual(seen(4, 3), [0, 2, 3]);
  assert.deepEqual(seen(5, 1), [0]);
  assert.deepEqual(seen(2, 5), [0, 0, 1, 1, 1]);
});
