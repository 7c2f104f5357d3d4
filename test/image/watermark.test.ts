/** The invisible watermark against invisible-watermark 0.2.0 with OpenCV 4.11 and PyWavelets 1.9 (diffusion/post watermark). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createImage, toRgb } from '../../src/image/image.ts';
import { canWatermark, decodeWatermark, embedWatermark } from '../../src/image/watermark.ts';
import { recordParity } from '../parity.ts';
import { reference } from '../reference.ts';
import { imageDifference, readPng } from './read-png.ts';

interface Row {
  readonly input: string;
  readonly output: string;
  readonly decoded: readonly { readonly of: string; readonly bytes_hex: string }[];
}

const index = JSON.parse(readFileSync(reference('diffusion/post/watermark.json'), 'utf8')) as {
  readonly rows: readonly Row[];
};
const read = async (path: string) => toRgb(await readPng(reference(`diffusion/${path}`)));
const differingBits = (got: Uint8Array, hex: string): number => {
  const want = Buffer.from(hex, 'hex');
  return got.reduce((sum, byte, i) => sum + (byte ^ (want[i] as number)).toString(2).replaceAll('0', '').length, 0);
};

for (const { input, output, decoded } of index.rows) {
  test(`watermark of ${input}`, async () => {
    const row = { part: 'diffusion/post', case: `watermark ${input}`, reference: 'invisible-watermark 0.2.0 dwtDct' };
    const marked = embedWatermark(await read(input));
    const want = await read(output);
    const { levels, share } = imageDifference(marked, want);
    recordParity({ ...row, output: 'levels', error: levels, tolerance: 0, note: 'the case allows 1 level' });
    recordParity({
      ...row,
      output: 'share of values that differ',
      error: share,
      tolerance: 0,
      note: 'the case allows 0.001',
    });
    for (const { of, bytes_hex } of decoded) {
      const picture = await read(of === 'output' ? output : of === 'input' ? input : of);
      recordParity({
        ...row,
        output: `bits decoded of ${of}`,
        error: differingBits(decodeWatermark(picture), bytes_hex),
        tolerance: 0,
        note: 'the case allows 2 of 136 for JPEG',
      });
    }
    recordParity({
      ...row,
      output: 'bits decoded of our output',
      error: differingBits(decodeWatermark(marked), decoded[0]?.bytes_hex ?? ''),
      tolerance: 0,
    });
  });
}

test('images too small are refused by code, and can be told beforehand', () => {
  const small = createImage(255, 256, 3);
  assert.equal(canWatermark(small), false);
  assert.equal(canWatermark(createImage(512, 128, 3)), true);
  assert.throws(() => embedWatermark(small), { code: 'invalid-argument' });
  assert.throws(() => decodeWatermark(small), { code: 'invalid-argument' });
});

test('any bytes can be embedded, and read back where chroma is mild', () => {
  const image = createImage(
    256,
    256,
    3,
    new Uint8Array(256 * 256 * 3).map((_, i) => 100 + ((i * 7) % 40)),
  );
  const bytes = Uint8Array.of(0xde, 0xad, 0xbe, 0xef);
  assert.deepEqual(decodeWatermark(embedWatermark(image, bytes), 4), bytes);
});
