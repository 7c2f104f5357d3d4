/** Masks, grids, alpha, CLIP's preprocessing. Bytes of decoded values and inpainting batches are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alphaOf, createImage, flatten, toRgb } from '../../src/image/image.ts';
import { imageGrid } from '../../src/image/image-grid.ts';
import { floatsToBytes, imagesToTensor, tensorToImages } from '../../src/image/image-tensor.ts';
import { inpaintBatch } from '../../src/image/inpaint-batch.ts';
import { clipImageTensor } from '../../src/image/clip-image.ts';
import { float32 } from '../../src/tensor/tensor.ts';

test('make_batch_sd of inpaint_st.py: mask of 0 and 1, the hole is mid grey', () => {
  const image = createImage(2, 1, 3, Uint8Array.of(0, 255, 51, 10, 20, 30));
  const mask = createImage(2, 1, 1, Uint8Array.of(127, 128));
  const batch = inpaintBatch(image, mask, 'stable-diffusion');
  assert.deepEqual([...batch.mask.data], [0, 1]);
  assert.deepEqual([...batch.maskedImage.data], [-1, 0, 1, 0, Math.fround(Math.fround(51 / 127.5) - 1), 0]);
  assert.throws(() => inpaintBatch(image, createImage(1, 1, 1), 'stable-diffusion'), { code: 'shape-mismatch' });
});

test('bytes survive a round trip through the tensor (round half even conventions)', () => {
  const image = createImage(
    16,
    16,
    3,
    Uint8Array.from({ length: 768 }, (_, i) => i % 256),
  );
  const [back] = tensorToImages(imagesToTensor([image]), 'diffusers');
  assert.deepEqual(back, image);
  assert.throws(() => tensorToImages(float32([3, 1, 1], [0, 0, 0])), { code: 'shape-mismatch' });
});

test('floatsToBytes of NaN and infinities', () => {
  const x = Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
  for (const convention of ['compvis', 'compvis-safety-checker', 'diffusers'] as const)
    assert.deepEqual([...floatsToBytes(x, convention)], [0, 255, 0]);
});

test('alpha: dropped, composited, or taken alone', () => {
  const image = createImage(2, 1, 4, Uint8Array.of(10, 20, 30, 0, 100, 100, 100, 128));
  assert.deepEqual([...toRgb(image).data], [10, 20, 30, 100, 100, 100]);
  assert.deepEqual([...flatten(image).data], [255, 255, 255, 177, 177, 177]);
  assert.deepEqual([...alphaOf(image).data], [0, 128]);
});

test("imageGrid is torchvision's make_grid: padding, row order, one image unchanged", () => {
  const cell = (level: number) => createImage(2, 1, 1, Uint8Array.of(level, level));
  const grid = imageGrid([cell(1), cell(2), cell(3)], { columns: 2, padding: 1, background: 9 });
  assert.deepEqual([grid.width, grid.height], [7, 5]);
  assert.deepEqual(
    [...grid.data],
    [
      9,
      9,
      9,
      9,
      9,
      9,
      9, //
      9,
      1,
      1,
      9,
      2,
      2,
      9, //
      9,
      9,
      9,
      9,
      9,
      9,
      9, //
      9,
      3,
      3,
      9,
      9,
      9,
      9, //
      9,
      9,
      9,
      9,
      9,
      9,
      9,
    ],
  );
  const only = cell(5);
  assert.equal(imageGrid([only]), only);
  assert.throws(() => imageGrid([]), { code: 'invalid-argument' });
  assert.throws(() => imageGrid([cell(1), createImage(1, 1, 1)]), { code: 'shape-mismatch' });
});

test('clipImageTensor: shortest edge, centre crop, normalisation', () => {
  const white = createImage(500, 300, 3, new Uint8Array(450_000).fill(255));
  const got = clipImageTensor([white, createImage(100, 400, 3)]);
  assert.deepEqual(got.shape, [2, 3, 224, 224]);
  assert.ok(Math.abs((got.data[0] as number) - (1 - 0.48145466) / 0.26862954) < 1e-6);
  assert.ok(Math.abs((got.data[3 * 224 * 224] as number) + 0.48145466 / 0.26862954) < 1e-6);
});
