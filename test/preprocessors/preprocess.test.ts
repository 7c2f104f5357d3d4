/** Preprocessors from the command line and as a library: which there are, what they refuse, a network's file. The pixels are in test/parity. */

import assert from 'node:assert/strict';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { openImage } from '../../src/pipelines/image-files-node.ts';
import {
  annotators,
  findPreprocessor,
  preprocess,
  preprocessorNamed,
  preprocessors,
  readAnnotator,
} from '../../src/preprocessors/index.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { sd, temporaryFolder } from '../cli/run-cli.ts';

/** A white square on black. */
const square = createImage(
  64,
  48,
  3,
  Uint8Array.from({ length: 64 * 48 * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % 64, Math.floor(i / 192)];
    return x >= 20 && x < 40 && y >= 10 && y < 30 ? 255 : 0;
  }),
);

test('names and titles are distinct, and each network is one that is read from a file', () => {
  const words = preprocessors.flatMap(({ name, title }) => (name === title ? [name] : [name, title]));
  assert.equal(new Set(words).size, words.length);
  for (const { network } of preprocessors)
    assert.ok(network === undefined || annotators.some(({ kind }) => kind === network), network);
  assert.equal(findPreprocessor('invert (from white bg & black line)')?.name, 'invert');
});

test('canny draws the outline of a square at the resolution, white on black', async () => {
  const map = await preprocess(preprocessorNamed('canny'), square, { resolution: 96 });
  assert.deepEqual([map.width, map.height], [128, 96]);
  const white = map.data.filter((value) => value === 255).length / 3;
  assert.ok(white >= 140 && white <= 180, `${white} pixels of an outline of about 160`);
  assert.ok(map.data.every((value) => value === 0 || value === 255));
});

test('a number beyond its bounds counts as the bound, and a resolution beyond them is refused', async () => {
  const blur = preprocessorNamed('blur_gaussian');
  const [most, beyond] = await Promise.all([64, 1e9].map((a) => preprocess(blur, square, { resolution: 64, a })));
  assert.deepEqual(most?.data, beyond?.data);
  await assert.rejects(preprocess(blur, square, { resolution: 1e6 }), { code: 'invalid-argument' });
});

test('one that needs a network says which, and a file that holds none is named', async () => {
  await assert.rejects(preprocess(preprocessorNamed('hed'), square), /preprocessor hed needs the weights of hed/);
  const other = memoryWeights(new Map([['a.weight', float32([1], [1])]]), 'other.pth');
  assert.throws(() => readAnnotator(other), { code: 'model-unknown' });
  assert.throws(() => preprocessorNamed('nothing'), /There is no preprocessor nothing/);
});

test('sd preprocess writes the map, lists the preprocessors, and asks for the file of a network', async (context) => {
  const folder = temporaryFolder(context);
  const picture = join(folder, 'square.png');
  await writeFileAtomic(picture, [await nodeImageCodec.encode(square, { format: 'png' })]);
  const path = join(folder, 'map.png');
  const made = await sd(['preprocess', 'threshold', picture, '--resolution', '64', '--threshold-a', '100', '-o', path]);
  assert.equal(made.code, 0, made.err);
  const map = await openImage(path);
  assert.deepEqual([map.width, map.height], [85, 64]);
  const twice = await sd(['preprocess', 'invert', picture, join('elsewhere', basename(picture))]);
  assert.deepEqual([twice.code, /would both be written to/.test(twice.err)], [2, true], twice.err);
  const list = await sd(['preprocess', '--list']);
  assert.match(list.out, /^canny · Canny Low Threshold 1 to 255 \(100\) · Canny High Threshold 1 to 255 \(200\)$/m);
  const surplus = await sd(['preprocess', 'invert', picture, '--threshold-b', '1']);
  assert.match(surplus.err, /^sd: --threshold-b: the preprocessor invert has no such number/);
  const missing = await sd(['preprocess', 'openpose', picture]);
  assert.equal(missing.code, 2);
  assert.match(missing.err, /body_pose_model\.pth/);
});
