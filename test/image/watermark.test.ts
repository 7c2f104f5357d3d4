/** The invisible watermark: sizes and bytes. The original's pictures are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createImage } from '../../src/image/image.ts';
import { canWatermark, decodeWatermark, embedWatermark } from '../../src/image/watermark.ts';

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
