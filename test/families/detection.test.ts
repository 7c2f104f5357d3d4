/** Whole files of SD 2.x and SDXL, by the key lists of the full-size models: which model each is, and that every name has its place. */

import { ldmUNet } from '../../src/config/network-config.ts';
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { checkpointNetworks } from '../../src/checkpoints/checkpoint-networks.ts';
import { assertNetworksMatch } from '../../src/model/network-set.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { findReference } from '../reference.ts';
import { keySource } from './key-lists.ts';

const folder = findReference('families/keys');
const skip = folder === undefined ? 'families/keys is not on this machine' : false;
const source = (list: string, spread = 0): WeightSource => keySource(join(folder ?? '', list), spread);

const expected = [
  { list: 'full-sd21.keys.json', condition: 'clip_text', context: 1024, vector: null, depth: 1, scale: 0.18215 },
  {
    list: 'full-sd2-inpainting.keys.json',
    condition: 'clip_text',
    context: 1024,
    vector: null,
    depth: 1,
    scale: 0.18215,
  },
  {
    list: 'full-sdxl-base.keys.json',
    condition: 'composed',
    context: 2048,
    vector: 2816,
    depth: [1, 2, 10],
    scale: 0.13025,
  },
  { list: 'full-sdxl-refiner.keys.json', condition: 'composed', context: 1280, vector: 2560, depth: 4, scale: 0.13025 },
] as const;

for (const { list, condition, context, vector, depth, scale } of expected) {
  test(list, { skip }, async () => {
    const checkpoint = await openCheckpoint(source(list));
    const { cond_stage_config: stage, scale_factor } = checkpoint.config;
    const unet = ldmUNet(checkpoint.config.unet_config);
    assert.equal(typeof stage === 'object' ? stage?.kind : stage, condition);
    assert.deepEqual(
      [unet.context_dim, unet.adm_in_channels, unet.transformer_depth, unet.num_head_channels, scale_factor],
      [context, vector, depth, 64, scale],
    );
    assert.equal(unet.use_linear_in_transformer, true);
    assertNetworksMatch(checkpointNetworks(checkpoint).values());
    assert.deepEqual(checkpoint.unused, []);
  });
}

test('SD 2.x predicts v or eps by the spread of a norm', { skip }, async () => {
  const of = async (spread: number) => (await openCheckpoint(source('full-sd21.keys.json', spread))).config;
  const [v, eps] = [await of(0.2), await of(0.02)];
  assert.deepEqual([v.parameterization, v.image_size, eps.parameterization, eps.image_size], ['v', 96, 'eps', 64]);
});

test('markers tell other predictions and noise levels', { skip }, async () => {
  const marked = (name: string) => {
    const base = source('full-sdxl-base.keys.json');
    return { ...base, entries: new Map([...base.entries, [name, { name, dtype: 'float32' as const, shape: [0] }]]) };
  };
  assert.equal((await openCheckpoint(marked('ztsnr'))).config.rescale_betas_zero_snr, true);
  const { config, unused } = await openCheckpoint(marked('v_pred'));
  assert.deepEqual([config.parameterization, unused], ['v', []]);
});
