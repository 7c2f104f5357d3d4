/** Preparation of initial pictures: in a thread as here, and A1111's blur and filling of holes. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { createImage, crop, type Image } from '../../src/image/image.ts';
import { resize } from '../../src/image/resize.ts';
import { gaussianBlur } from '../../src/image/box-blur.ts';
import { enlarge } from '../../src/image/enlarge.ts';
import { fitImage } from '../../src/image/fit-image.ts';
import { composeInpainted, inpaintRegion } from '../../src/image/inpaint-region.ts';
import { createPicturePool } from '../../src/server/pictures/picture-pool.ts';
import { composeOffThread, enlargeOffThread } from '../../src/server/run/picture-thread.ts';
import { preparePictures } from '../../src/server/run/prepare-pictures.ts';
import { jobRequest } from './queue-jobs.ts';
import { png, testImage } from './start.ts';

const request = jobRequest({
  task: 'inpaint',
  width: 128,
  height: 128,
  inpaint: { blurX: 3, blurY: 3, fill: 'fill', invert: false, onlyMaskedPadding: 8 },
});

const limits = { maxPixels: 2 ** 24, infotextLength: 65_536, together: 2 };
const alice = { owner: 'alice', signal: new AbortController().signal };

test('pictures of callers are prepared in a process, as they would be here', async () => {
  const [picture, sketch] = [testImage(300, 280), testImage(300, 280, 'mask')];
  const pool = createPicturePool({ ...limits, seconds: 60 });
  const given = { picture: await png(picture), sketch: await png(sketch), request };
  assert.deepEqual(await pool.run('prepare', given, alice), preparePictures(picture, sketch, request));
  await assert.rejects(pool.run('check', { bytes: new Uint8Array(10) }, alice), { code: 'file-corrupt' });
  await pool.close();
});

test('a picture that takes too long is refused, and the next one is done', async () => {
  const pool = createPicturePool({ ...limits, seconds: 0.001 });
  const bytes = await png(testImage(300, 280));
  await assert.rejects(pool.run('check', { bytes }, alice), {
    code: 'too-large',
    message: /longer than 0.001 seconds/,
  });
  await pool.close();
});

test('large pictures that were made are worked on in a thread, as small ones are here', async () => {
  const [picture, sketch] = [testImage(300, 280), testImage(300, 280, 'mask')];
  const larger = { width: 500, height: 300, crop: true, filter: 'lanczos' } as const;
  assert.deepEqual(await enlargeOffThread(picture, larger), enlarge(picture, larger));
  const { overlay } = inpaintRegion(picture, sketch, request);
  const made = testImage(128, 128);
  assert.deepEqual(await composeOffThread(overlay, made), composeInpainted(overlay, made));
});

test('a picture of one line is cut to a square by itself, without the whole at that width being made', () => {
  const ramp = (width: number, height: number): Image<3> => {
    const image = createImage(width, height, 3);
    for (let i = 0; i < image.data.length; i++)
      image.data[i] = Math.floor((Math.floor(i / 3) * 256) / (width * height));
    return image;
  };
  // The whole would have 64 x 64 million pixels.
  for (const image of [ramp(1, 1_000_000), ramp(1_000_000, 1)]) {
    const { width, height, data } = fitImage(image, 64, 64, 'crop');
    assert.deepEqual([width, height], [64, 64]);
    assert.ok(
      data.every((value) => value === 127 || value === 128),
      'the middle',
    );
  }
  // As Pillow's `image.resize((width, height)).crop(…)`, but for its rounding.
  const [smooth, size] = [ramp(9, 400), 48];
  const whole = crop(
    resize(smooth, size, Math.floor((400 * size) / 9), 'lanczos'),
    0,
    Math.floor((Math.floor((400 * size) / 9) - size) / 2),
    size,
    size,
  );
  const part = fitImage(smooth, size, size, 'crop');
  assert.ok(part.data.every((value, i) => Math.abs(value - (whole.data[i] ?? 0)) <= 1));
});

test('a blur as Pillow has it', () => {
  const [size, sigma] = [65, 4];
  const point = createImage(size, size, 1);
  point.data.fill(0);
  for (let y = 30; y < 35; y++) for (let x = 30; x < 35; x++) point.data[y * size + x] = 255;
  const { data } = gaussianBlur(point, sigma, sigma);
  const sum = data.reduce((total, value) => total + value, 0);
  assert.ok(Math.abs(sum / (25 * 255) - 1) < 0.03, `${sum}`);
  // Pillow 13: Image.filter(ImageFilter.GaussianBlur(4)).
  assert.deepEqual([data[32 * size + 32], data[32 * size + 36], data[40 * size + 40]], [52, 35, 2]);
  const tall = gaussianBlur(point, 0, 6).data;
  assert.equal(tall[32 * size + 29], 0, 'not across where only the other direction is blurred');
});

test('the hole is filled from around it; what was not masked is laid over the result', () => {
  const red = createImage(128, 128, 3);
  for (let i = 0; i < red.data.length; i += 3) red.data.set([200, 0, 0], i);
  const mask = testImage(128, 128, 'mask');
  const whole = jobRequest({
    task: 'inpaint',
    width: 128,
    height: 128,
    inpaint: { blurX: 0, blurY: 0, fill: 'fill', invert: false },
  });
  const { image, overlay } = inpaintRegion(red, mask, whole);
  const middle = (64 * 128 + 64) * 3;
  assert.ok(
    (image.data[middle] as number) > 150 && (image.data[middle + 1] as number) < 10,
    `filled with ${image.data.slice(middle, middle + 3)}`,
  );
  const blue = createImage(128, 128, 3);
  for (let i = 2; i < blue.data.length; i += 3) blue.data[i] = 255;
  const made = composeInpainted(overlay, blue);
  assert.deepEqual([...made.data.slice(middle, middle + 3)], [0, 0, 255]);
  assert.deepEqual([...made.data.slice(0, 3)], [200, 0, 0]);
});
