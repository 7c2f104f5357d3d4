/** The lists behind `bench/full-size-weights.ts`: each is a model that is recognised, and whose every name has its place. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keysOf, listedModels, listedTensors } from '../../bench/key-lists.ts';
import { openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { checkpointNetworks } from '../../src/checkpoints/checkpoint-networks.ts';
import { assertNetworksMatch } from '../../src/model/network-set.ts';
import { keySource } from '../families/key-lists.ts';
import { reference } from '../reference.ts';

const expected: Readonly<Record<string, readonly [channels: number, context: number, parameterization: string]>> = {
  v2: [4, 1024, 'eps'],
  'v2-inpainting': [9, 1024, 'eps'],
  'v2-depth': [5, 1024, 'eps'],
  'v2-unclip': [4, 1024, 'eps'],
  'x4-upscaler': [7, 1024, 'v'],
  'sdxl-base': [4, 2048, 'eps'],
  'sdxl-refiner': [4, 1280, 'eps'],
};

for (const [model, [channels, context, parameterization]] of Object.entries(expected))
  test(`${model} is recognised and loads strictly`, async () => {
    const checkpoint = await openCheckpoint(keySource(reference(listedModels[model] ?? '')));
    const { unet_config: unet, parameterization: found } = checkpoint.config;
    assert.ok(unet.kind === 'unet');
    assert.deepEqual([unet.in_channels, unet.context_dim, found], [channels, context, parameterization]);
    assertNetworksMatch(checkpointNetworks(checkpoint).values());
  });

test('every list has element types, and an unknown model is refused', () => {
  for (const path of Object.values(listedModels))
    for (const [name, { dtype }] of keysOf(reference(path))) assert.match(dtype, /^(F32|I64|F64)$/, name);
  assert.throws(() => listedTensors('v9'), /There is no list of v9; known are v1, v2/);
});
