/** Grey masks of A1111's inpainting (`create_binary_mask` and `init`, modules/processing.py, v1.10.1), and the blur of their edges. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { createImage, type Image } from '../../src/image/image.ts';
import { inpaintBatch, latentMask } from '../../src/image/inpaint-batch.ts';
import { composeInpainted, inpaintRegion } from '../../src/image/inpaint-region.ts';
import { blurMask } from '../../src/image/mask-blur.ts';

const picture = createImage(16, 16, 3, new Uint8Array(768).fill(200));
const made = createImage(16, 16, 3, new Uint8Array(768).fill(100));
const grey = (value: number): Image<1> => createImage(16, 16, 1, new Uint8Array(256).fill(value));
const alpha = (value: number): Image<4> => {
  const image = createImage(16, 16, 4, new Uint8Array(1024).fill(255));
  for (let i = 0; i < 128; i++) image.data[4 * i + 3] = value;
  return image;
};

function region(mask: Image, inpaint: { readonly onlyMaskedPadding?: number; readonly round?: boolean } = {}) {
  return inpaintRegion(picture, mask, {
    width: 16,
    height: 16,
    seeds: [1],
    inpaint: { blurX: 0, blurY: 0, fill: 'original', invert: false, ...inpaint },
  });
}

test('the original lies over the result by the grey: 255 - v of 255 for the part, 255 - min(255, 2 v) for the whole', () => {
  for (const [value, whole, part] of [
    [0, 200, 200],
    [64, 150, 175],
    [100, 122, 161],
    [128, 100, 150],
    [255, 100, 100],
  ] as const) {
    const result = composeInpainted(region(grey(value)).overlay, made).data[0] ?? 0;
    assert.ok(Math.abs(result - whole) <= 1, `whole picture, grey ${value}: ${result}`);
    if (value === 0) continue;
    const only = composeInpainted(region(grey(value), { onlyMaskedPadding: 0 }).overlay, made).data[0] ?? 0;
    assert.ok(Math.abs(only - part) <= 1, `only masked, grey ${value}: ${only}`);
  }
});

test('an alpha counts from 129, and with round: false in part', () => {
  assert.equal(region(alpha(128)).mask.data[0], 0);
  assert.equal(region(alpha(129)).mask.data[0], 255);
  assert.equal(region(alpha(100), { round: false }).mask.data[0], 100);
});

test('mask_round rounds the mask of the latent, else it paints in part', () => {
  assert.deepEqual(new Set(latentMask(grey(127), 2, 2, 'round').data), new Set([0]));
  assert.deepEqual(new Set(latentMask(grey(128), 2, 2, 'round').data), new Set([1]));
  assert.deepEqual(new Set(latentMask(grey(51), 2, 2, 'soft').data), new Set([Math.fround(0.2)]));
  const { maskedImage, image, mask } = inpaintBatch(picture, grey(51), 'stable-diffusion', { soft: true });
  assert.equal(mask.data[0], Math.fround(0.2));
  assert.ok(Math.abs((maskedImage.data[0] ?? 0) - (image.data[0] ?? 0) * 0.8) < 1e-6);
});

test('the blur is a Gaussian in a window of 2 int(2.5 sigma + 0.5) + 1 pixels, mirrored at the edges', () => {
  const line = createImage(9, 1, 1, Uint8Array.of(0, 0, 0, 0, 255, 0, 0, 0, 0));
  // exp(-i^2 / 2) / 2.4837…, for i of -3 to 3: 255 times these.
  assert.deepEqual([...blurMask(line, 1, 0).data], [0, 1, 14, 62, 102, 62, 14, 1, 0]);
  const edge = createImage(4, 1, 1, Uint8Array.of(255, 0, 0, 0));
  assert.deepEqual([...blurMask(edge, 1, 0).data], [102, 62, 14, 2]);
  assert.deepEqual(blurMask(line, 0, 4).data, line.data, 'one pixel high');
});
