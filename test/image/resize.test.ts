/** Resampling: same size, impossible sizes, premultiplied alpha. Pillow's levels are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createImage } from '../../src/image/image.ts';
import { imagesToTensor } from '../../src/image/image-tensor.ts';
import { initImageTensor } from '../../src/image/init-image.ts';
import { resize } from '../../src/image/resize.ts';

test('resize keeps an image of the same size, and refuses impossible sizes by code', () => {
  const image = createImage(
    3,
    2,
    3,
    Uint8Array.from({ length: 18 }, (_, i) => i * 14),
  );
  assert.deepEqual(resize(image, 3, 2, 'lanczos'), image);
  for (const [width, height] of [
    [0, 1],
    [1.5, 2],
    [-1, 4],
    [Number.NaN, 3],
  ] as const) {
    assert.throws(() => resize(image, width, height, 'bicubic'), { code: 'invalid-argument' });
  }
  assert.throws(() => resize(image, 2, 2, 'box', { left: 0, top: 0, right: 4, bottom: 2 }), {
    code: 'invalid-argument',
  });
  assert.throws(() => initImageTensor(image), { code: 'invalid-argument' });
});

test('RGBA is resampled premultiplied: a hidden colour does not bleed', () => {
  const image = createImage(2, 1, 4, Uint8Array.of(255, 0, 0, 255, 0, 255, 0, 0));
  const [red, green] = resize(image, 1, 1, 'box').data;
  assert.deepEqual([red, green], [255, 0]);
});

test('imagesToTensor refuses images of different sizes', () => {
  assert.throws(() => imagesToTensor([createImage(2, 2, 3), createImage(2, 3, 3)]), { code: 'shape-mismatch' });
  assert.throws(() => imagesToTensor([]), { code: 'invalid-argument' });
});
