/** Resampling against Pillow 13 (diffusion/post resize, load_img), level by level. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createImage, toGrey, toRgb } from '../../src/image/image.ts';
import { imagesToTensor } from '../../src/image/image-tensor.ts';
import { fitInitImage, initImageTensor } from '../../src/image/init-image.ts';
import { type ResizeFilter, resize } from '../../src/image/resize.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { compareTensor } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';
import { readPng } from './read-png.ts';

test("resize is Pillow's, for every filter and size", async () => {
  const source = toRgb(await readPng(reference('diffusion/post/resize.png')));
  const wanted = readTensors(reference('diffusion/post/resize.safetensors'));
  const row = { part: 'diffusion/post', case: 'resize', reference: 'Pillow 13.0.0 Image.resize', tolerance: 0 };
  for (const [name, want] of wanted) {
    const [, filter, grey, width = '', height = ''] = /^([A-Z]+?)\.(L\.)?(\d+)x(\d+)$/.exec(name) ?? [];
    if (!filter) {
      assert.equal(name, 'L');
      compareTensor(
        { ...row, output: name },
        tensor('uint8', [source.height, source.width], toGrey(source).data),
        want,
      );
      continue;
    }
    const input = grey ? toGrey(source) : source;
    const got = resize(input, Number(width), Number(height), filter.toLowerCase() as ResizeFilter);
    compareTensor({ ...row, output: name }, tensor('uint8', want.shape, got.data), want);
  }
});

test('load_img of img2img.py: bytes and tensor', async () => {
  const wanted = readTensors(reference('diffusion/post/load_img.safetensors'));
  const row = {
    part: 'diffusion/post',
    case: 'load_img',
    reference: 'CompVis scripts/img2img.py load_img, Pillow 13.0.0',
    tolerance: 0,
  };
  for (const i of [0, 1]) {
    const image = await readPng(reference(`diffusion/post/load${i}.png`));
    const fitted = fitInitImage(image);
    const want = pick(wanted, `${i}.u8`);
    const { width, height } = fitted;
    const planar = new Uint8Array(3 * width * height);
    for (let p = 0; p < width * height; p++)
      for (let c = 0; c < 3; c++) planar[c * width * height + p] = fitted.data[3 * p + c] as number;
    compareTensor({ ...row, output: `${i}.u8` }, tensor('uint8', [1, 3, height, width], planar), want);
    const got = initImageTensor(image);
    const first = new Float32Array(3 * width);
    for (let c = 0; c < 3; c++) first.set(got.data.subarray(c * width * height, c * width * height + width), c * width);
    compareTensor(
      { ...row, output: `${i}.first_row` },
      tensor('float32', [1, 3, width], first),
      pick(wanted, `${i}.first_row`),
    );
  }
});

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
