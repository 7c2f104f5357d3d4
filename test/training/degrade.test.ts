/** The whole degradation of BSRGAN, and bytes to samples and back. Its operators are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { NumpyRandomState } from '../../src/random/numpy-random-state.ts';
import { poisson } from '../../src/random/poisson.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { preparePicture } from '../../src/training/data/prepare-picture.ts';
import { degradeBsrgan } from '../../src/training/degrade/bsrgan.ts';
import { degradeBsrganPlus } from '../../src/training/degrade/bsrgan-plus.ts';
import { generatorDraws, pythonDraws } from '../../src/training/degrade/draws.ts';
import { toByteImage, toFloatImage } from '../../src/training/degrade/picture.ts';
import { smallPicture } from '../../src/training/degrade/super-resolution-picture.ts';

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

/** 136x136, from whole numbers alone. */
const gradients = createImage(
  136,
  136,
  3,
  Uint8Array.from({ length: 136 * 136 * 3 }, (_, i) => {
    const [x, y, c] = [Math.floor(i / 3) % 136, Math.floor(i / 408), i % 3];
    return 128 + ((Math.floor((x * y) / 40) + 37 * c + x * 3) % 96) - ((y * 5) % 61);
  }),
);

const digest = ({ data }: { readonly data: Uint8Array }): string =>
  createHash('sha256').update(data).digest('hex').slice(0, 16);

// degradation_bsrgan_plus(img, sf=4, lq_patchsize=24) of CompVis/latent-diffusion a506df5 after seeding Python's and numpy's generators
// (OpenCV 5.0, numpy 2.4): all steps shuffled and only the noises, speckles and both kinds of Poisson noise.
test("degradation_bsrgan_plus makes the original's pictures from its seeds", async () => {
  const pairs: Readonly<Record<number, readonly [string, string]>> = {
    5: ['50cdd4318a12fce4', '47f6a007e2c92dd2'],
    13: ['1cdb24e3b647d20c', '2b1ae7b4124e25c0'],
    20: ['9e1eb049d6d596fa', '00c029a51abcd981'],
    28: ['f8cec55589a7d183', '10a48dc656101718'],
  };
  for (const [seed, want] of Object.entries(pairs)) {
    const options = { factor: 4, patchSize: 24, draws: pythonDraws(Number(seed)), codec: nodeImageCodec };
    const { small, large } = await degradeBsrganPlus(gradients, options);
    assert.deepEqual([small.width, small.height, large.width, large.height], [24, 24, 96, 96]);
    assert.deepEqual([digest(small), digest(large)], want, `seed ${seed}`);
  }
});

test('degradation_bsrgan_plus: unsharpened and whole it keeps the large picture; one that is too small is refused', async () => {
  const run = (factor: number, patchSize: number, sharpens = false) =>
    degradeBsrganPlus(gradients, { factor, patchSize, sharpens, draws: pythonDraws(3), codec: nodeImageCodec });
  assert.deepEqual((await run(4, 34)).large, gradients);
  assert.notDeepEqual((await run(4, 34, true)).large, gradients);
  for (const [factor, side] of [
    [4, 35],
    [2.5, 8],
    [0, 8],
    [4, 0],
  ] as const)
    await assert.rejects(run(factor, side), { code: 'invalid-argument' });
});

test('bsrgan_plus as the degradation of a training: the picture is sharpened, the small one is of its size', async () => {
  const generator = new TorchGenerator(1);
  const sharp = preparePicture(gradients, { size: 64, sharpens: true }, generator);
  assert.notDeepEqual(sharp, preparePicture(gradients, { size: 64 }, generator));
  const small = await smallPicture(
    sharp,
    { degradation: 'bsrgan_plus', factor: 4, codec: nodeImageCodec },
    generatorDraws(generator),
  );
  assert.deepEqual([small.width, small.height], [16, 16]);
});

// numpy 2.4: numpy.random.RandomState(7).poisson(mean) in turn
test("Poisson's distribution as numpy draws it", () => {
  const state = new NumpyRandomState(7);
  const means = [0.5, 3, 9.99, 10, 12.5, 100, 2550.3, 9999, 0, 1, 7, 0.5];
  assert.deepEqual(
    means.map((mean) => poisson(() => state.random(), mean)),
    [0, 6, 10, 17, 8, 108, 2546, 9996, 0, 1, 9, 1],
  );
});
