/** Whole files of SD 2.x and SDXL, by the key lists of the full-size models: which model each is, and that every name has its place. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { checkpointNetworks } from '../../src/checkpoints/checkpoint-networks.ts';
import { assertNetworksMatch } from '../../src/model/network-set.ts';
import { float32, type Shape } from '../../src/tensor/tensor.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { shapedSource } from '../checkpoints/shaped-source.ts';
import { findReference } from '../reference.ts';

const folder = findReference('families/keys');
const skip = folder === undefined ? 'families/keys is not on this machine' : false;

type KeyRow = readonly [name: string, shape: Shape, ...more: unknown[]];

interface KeyList {
  /** The list that this one is a difference to, with a remark behind the name. */
  readonly as?: string;
  readonly removed?: readonly string[];
  readonly set?: readonly KeyRow[];
  readonly keys?: readonly KeyRow[];
}

/** Names and shapes of a list, which may be a difference to another. */
function keysOf(name: string): Map<string, Shape> {
  const list: KeyList = JSON.parse(readFileSync(join(folder ?? '', name), 'utf8'));
  const [other] = list.as?.split(',') ?? [];
  const all = other === undefined ? new Map<string, Shape>() : keysOf(other);
  for (const removed of list.removed ?? []) all.delete(removed);
  for (const [key, shape] of list.set ?? list.keys ?? []) all.set(key, shape);
  return all;
}

/** Names and shapes, with the schedule's buffers and the one norm that tells v-prediction. Reading any other tensor is a failure. */
function source(list: string, spread = 0): WeightSource {
  const shaped = shapedSource(keysOf(list), list);
  const betas = stableDiffusionBetas();
  return {
    ...shaped,
    async read(name) {
      const { shape = [0] } = shaped.entries.get(name) ?? {};
      const count = shape[0] ?? 0;
      if (name === 'betas') return float32([count], betas);
      if (name.endsWith('norm1.bias'))
        return float32(
          [count],
          Array.from({ length: count }, (_, i) => (i % 2 ? spread : -spread)),
        );
      return shaped.read(name);
    },
  };
}

/** Linear in the square root from 0.00085 to 0.012. */
function stableDiffusionBetas(): number[] {
  const [from, to] = [Math.sqrt(0.00085), Math.sqrt(0.012)];
  return Array.from({ length: 1000 }, (_, i) => (from + ((to - from) * i) / 999) ** 2);
}

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
    const { unet_config: unet, cond_stage_config: stage, scale_factor } = checkpoint.config;
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
