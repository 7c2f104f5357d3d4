/** The perceptual hash against imagehash 4.3.2 with Pillow 13, and the search of near hashes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NearHashes } from '../../src/evaluation/data-set/near-hashes.ts';
import { createImage, type Image } from '../../src/image/image.ts';
import { perceptualHash } from '../../src/image/perceptual-hash.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';

function pattern(width: number, height: number, k: number): Image<3> {
  const image = createImage(width, height, 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      image.data.set(
        [(x * x * k + y * 7) >> 5, (y * y + x * k * 3) >> 4, (x * y * k) >> 6].map((value) => value & 255),
        3 * (y * width + x),
      );
  return image;
}

test('hashes are those of imagehash.phash', () => {
  const recorded = [
    [32, 32, 3, 'aa749772a15bac68'],
    [100, 37, 1, '9569a956d650ad2d'],
    [200, 333, 2, '80073f3f3833332f'],
    [64, 64, 5, '8d2b55aa748b7a85'],
    [1, 1, 1, '0000000000000000'],
    [17, 300, 4, '8d6a552a552b562f'],
  ] as const;
  for (const [width, height, k, hash] of recorded) assert.equal(perceptualHash(pattern(width, height, k)), hash);
  const flat = createImage(50, 40, 3);
  assert.equal(perceptualHash(flat), '0000000000000000');
  flat.data.fill(255);
  assert.equal(perceptualHash(flat), '8000000000000000');
});

/** Differing bits of two hashes, counted one by one. */
const distance = (a: string, b: string): number =>
  [...(BigInt(`0x${a}`) ^ BigInt(`0x${b}`)).toString(2)].filter((bit) => bit === '1').length;

test('a near hash is found at every distance up to the limit, and none beyond', () => {
  const generator = new TorchGenerator(1);
  const hex = (value: bigint): string => value.toString(16).padStart(16, '0');
  const random = (): bigint =>
    Array.from({ length: 4 }).reduce<bigint>((value) => (value << 16n) | BigInt(generator.integer(0, 65536)), 0n);
  for (const limit of [0, 3, 4, 7, 8, 11]) {
    const near = new NearHashes(limit, 5000);
    const added = Array.from({ length: 2000 }, random);
    for (const hash of added) near.add(hex(hash));
    for (let i = 0; i < 300; i++) {
      let query = added[i] as bigint;
      for (let flips = generator.integer(0, 14); flips > 0; flips--) query ^= 1n << BigInt(generator.integer(0, 64));
      const expected = added.some((hash) => distance(hex(hash), hex(query)) <= limit);
      assert.equal(near.has(hex(query)), expected);
    }
  }
});

test('more hashes than the limit are refused', () => {
  const near = new NearHashes(0, 2);
  near.add('0000000000000001');
  near.add('0000000000000002');
  assert.throws(() => near.add('0000000000000003'), { code: 'too-large', message: /--max-hashes/ });
});
