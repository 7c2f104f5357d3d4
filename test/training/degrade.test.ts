/** The whole degradation of BSRGAN, and bytes to samples and back. Its operators are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { degradeBsrgan } from '../../src/training/degrade/bsrgan.ts';
import { generatorDraws } from '../../src/training/degrade/draws.ts';
import { toByteImage, toFloatImage } from '../../src/training/degrade/picture.ts';

test('BSRGAN: sizes by the factor, repeatable from a seed, different from another, both variants', async () => {
  const source = createImage(
    48,
    64,
    3,
    Uint8Array.from({ length: 48 * 64 * 3 }, (_, i) => (i * 7 + Math.floor(i / 200) * 31) % 256),
  );
  for (const variant of ['bsrgan-light', 'bsrgan'] as const) {
    for (const factor of [1, 2, 4]) {
      const run = (seed: number) =>
        degradeBsrgan(source, {
          variant,
          factor,
          draws: generatorDraws(new TorchGenerator(seed)),
          codec: nodeImageCodec,
        });
      const [first, again, other] = [await run(1), await run(1), await run(2)];
      assert.deepEqual([first.width, first.height], [48 / factor, 64 / factor]);
      assert.deepEqual(first, again);
      assert.notDeepEqual(first.data, other.data);
    }
    for (let seed = 10; seed < 30; seed++)
      await degradeBsrgan(source, {
        variant,
        factor: 4,
        draws: generatorDraws(new TorchGenerator(seed)),
        codec: nodeImageCodec,
      });
  }
  await assert.rejects(
    degradeBsrgan(createImage(6, 20, 3), { draws: generatorDraws(new TorchGenerator(1)), codec: nodeImageCodec }),
    { code: 'invalid-argument' },
  );
});

test('bytes to samples and back are the identity', () => {
  const all = createImage(
    16,
    16,
    3,
    Uint8Array.from({ length: 768 }, (_, i) => i % 256),
  );
  assert.deepEqual(toByteImage(toFloatImage(all)), all);
});
