/** Words of lists that fit a picture: A1111's `rank`, with embeddings whose cosines are known. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { categoryOf, fittingWords, wordsText } from '../../src/describing/categories.ts';
import { openCategories } from '../../src/describing/open-node.ts';
import type { FeaturesNetwork } from '../../src/evaluation/features.ts';
import { createImage } from '../../src/image/image.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { temporaryFolder } from '../cli/run-cli.ts';

/** The picture points along the first axis; a word along an angle of as many hundredths as it says. */
const clip: FeaturesNetwork = {
  kind: 'clip',
  pictures: async () => ({ features: float32([1, 2], [3, 0]) }),
  texts: async (words) =>
    float32(
      [words.length, 2],
      words.flatMap((word) => [7 * Math.cos(Number(word) / 100), 7 * Math.sin(Number(word) / 100)]),
    ),
  async [Symbol.asyncDispose]() {},
};
const picture = createImage(2, 2, 3);

test('the likeliest words of each list follow, as many as its name says', async () => {
  const lists = [
    categoryOf('artists', '30\r\n10\n20\n'),
    categoryOf('flavors.top2.x', '20\n5\n15\n'),
    categoryOf('none', ''),
  ];
  assert.deepEqual(
    lists.map(({ count, words }) => [count, words]),
    [
      [1, ['30', '10', '20']],
      [2, ['20', '5', '15']],
      [1, []],
    ],
  );
  const found = await fittingWords(clip, picture, lists);
  assert.equal(wordsText(found, false), ', 10, 5, 15');
  const power = (hundredths: number): number => Math.exp(100 * Math.cos(hundredths / 100));
  const share = power(10) / (power(30) + power(10) + power(20));
  assert.ok(Math.abs((found[0]?.share ?? 0) - share) < 1e-5);
  assert.equal(wordsText(found.slice(0, 1), true), `, (10:${share.toFixed(3)})`);
  assert.equal(wordsText(await fittingWords(clip, picture, lists, { limit: 1 }), false), ', 30, 20');
});

test('a folder of lists is read by its names, and too many words are refused', async (context) => {
  const folder = temporaryFolder(context);
  writeFileSync(join(folder, 'mediums.txt'), 'a photo \noil\n');
  writeFileSync(join(folder, 'artists.txt'), 'x\n');
  writeFileSync(join(folder, 'notes.md'), 'y\n');
  assert.deepEqual(
    (await openCategories(folder)).map(({ name, words }) => [name, ...words]),
    [
      ['artists', 'x'],
      ['mediums', 'a photo', 'oil'],
    ],
  );
  writeFileSync(join(folder, 'many.txt'), 'z\n'.repeat(200_001));
  await assert.rejects(openCategories(folder), /200004 words; at most 100 lists and 200000 words/);
});
