/** Nodes of was-node-suite-comfyui and ComfyUI-QualityOfLifeSuit_Omar92 that change sizes by a factor. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Tensor, zeros } from '../../src/tensor/tensor.ts';
import type { LatentValue } from '../../src/workflow/values.ts';
import { nodeOf, noContext } from './recorded-nodes.ts';

const methods = { upscale_method: 'bilinear', crop: 'disabled' };

async function imageShape(node: string, inputs: Readonly<Record<string, unknown>>): Promise<readonly number[]> {
  const [image] = (await nodeOf(node).run(inputs, noContext)) as readonly [Tensor<'float32'>];
  return image.shape;
}

async function latentShape(node: string, inputs: Readonly<Record<string, unknown>>): Promise<readonly number[]> {
  const [latent] = (await nodeOf(node).run(inputs, noContext)) as readonly [LatentValue];
  return latent.samples.shape;
}

test('a latent is enlarged by a factor, halves to the even side, and no side below 1', async () => {
  const samples = { samples: zeros('float32', [1, 4, 5, 3]) };
  const by = (factor: number) =>
    latentShape('Latent Upscale by Factor (WAS)', { samples, mode: 'bilinear', factor, align: 'true' });
  assert.deepEqual(await by(2), [1, 4, 10, 6]);
  assert.deepEqual(await by(1.5), [1, 4, 8, 4]);
  assert.deepEqual(await by(0.1), [1, 4, 1, 1]);
});

test('the pictures of a batch are resized one by one and stay in order', async () => {
  const image = zeros('float32', [3, 8, 8, 3]);
  image.data.fill(0.2, 192, 384).fill(1, 384);
  const inputs = { image, mode: 'resize', supersample: 'false', resampling: 'nearest', rescale_factor: 2 };
  const node = nodeOf('Image Resize');
  const [made] = (await node.run({ ...inputs, resize_width: 9, resize_height: 16 }, noContext)) as readonly [
    Tensor<'float32'>,
  ];
  assert.deepEqual(made.shape, [3, 16, 16, 3]);
  assert.deepEqual([made.data[0], made.data[768], made.data[1536]], [0, Math.fround(51 / 255), 1]);
});

test('a picture is scaled by two factors, where wanted to multiples of 8, and its copies count as memory', async () => {
  const image = zeros('float32', [1, 20, 30, 3]);
  const inputs = { ...methods, image, WidthFactor: 2, HeightFactor: 1.25 };
  const whole = { ...inputs, MulOf46: 'enabled' };
  assert.deepEqual(await imageShape('ImageScaleFactor _O', whole), [1, 24, 64, 3]);
  assert.deepEqual(await imageShape('ImageScaleFactor _O', { ...inputs, MulOf46: 'disabled' }), [1, 25, 60, 3]);
  assert.equal(nodeOf('ImageScaleFactor _O').makes?.(whole), 2 * 4 * 24 * 64 * 3);
});
