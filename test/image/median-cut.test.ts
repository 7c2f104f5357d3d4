/** Palettes and dithering against Pillow 13.0 on a picture of 6 by 4 whose colours are (37 x, 61 y, 40 (x + y) mod 256). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { medianCut } from '../../src/image/median-cut.ts';
import { ditheredPixels, matchedPixels } from '../../src/image/palette-match.ts';

const pixels = Uint8Array.from({ length: 6 * 4 * 3 }, (_, i) => {
  const [x, y, c] = [Math.floor(i / 3) % 6, Math.floor(i / 18), i % 3];
  return [37 * x, 61 * y, (40 * (x + y)) % 256][c] as number;
});

const pillow = [93, 153, 136, 93, 61, 140, 93, 0, 100];

test('the colours of the boxes, in order', () => {
  assert.deepEqual([...medianCut(pixels, 3)], pillow);
  assert.deepEqual([...medianCut(pixels, 256)].length, 24 * 3);
  assert.deepEqual([...medianCut(new Uint8Array(9), 4)], [0, 0, 0]);
});

test('each pixel gets the nearest colour, or one that makes up for its neighbours', () => {
  const palette = Uint8Array.from(pillow);
  const indices = (out: Uint8Array): string =>
    Array.from(
      { length: 24 },
      (_, i) =>
        pillow.findIndex(
          (_one, k) => k % 3 === 0 && pillow.slice(k, k + 3).join() === out.subarray(i * 3, i * 3 + 3).join(),
        ) / 3,
    ).join('');
  assert.equal(indices(matchedPixels(pixels, palette)), '222221211111000000000000');
  assert.equal(indices(ditheredPixels(pixels, 6, palette)), '222221221111000010000000');
});
