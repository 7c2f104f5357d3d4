/** `sd plot`: the grid, its single pictures, and what is refused before the model is loaded. */

import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openImage } from '../../src/pipelines/image-files-node.ts';
import { fast, tiny } from './cli-files.ts';
import { sd, temporaryFolder } from './run-cli.ts';

const small = ['plot', 'red apple', '--steps', '1', ...fast, '--no-legend'];

test('a plot with a refiner writes the grid and each picture', async (context) => {
  const folder = temporaryFolder(context);
  const output = join(folder, 'grid.png');
  const axis = ['--refiner', tiny, '--x', 'Refiner switch at=0.2,0.9'];
  const { code, out, err } = await sd([...small, ...axis, '--outdir', folder, '-o', output, '--json']);
  assert.equal(code, 0, err);
  assert.deepEqual(JSON.parse(out), { file: output, pictures: 2 });
  for (const name of ['00000.png', '00001.png']) assert.ok(existsSync(join(folder, name)), name);
  const { width, height } = await openImage(output);
  assert.deepEqual([width, height], [128, 64]);
});

test('checkpoints along x and seeds along z: grids side by side, each model loaded once', async (context) => {
  const folder = temporaryFolder(context);
  const output = join(folder, 'grid.png');
  const axes = ['--x', `Checkpoint name=${tiny}, ${tiny}`, '--z', 'Seed=1-3', '--json', '-o', output];
  const { code, out, err } = await sd([...small, ...axes]);
  assert.equal(code, 0, err);
  assert.equal(JSON.parse(out).pictures, 6);
  const { width, height, data } = await openImage(output);
  assert.deepEqual([width, height], [384, 64]);
  const column = (i: number): number[] => Array.from(data.subarray(3 * 64 * i, 3 * 64 * (i + 1)));
  assert.deepEqual(column(0), column(1));
  assert.notDeepEqual(column(0), column(2));
});

test('settings of a refiner need one', async () => {
  const { code, err } = await sd([...small, '--x', 'Refiner switch at=0.5']);
  assert.equal(code, 2);
  assert.match(err, /needs a refiner\. Give one with --refiner/);
});

test('a picture that exists is not replaced', async (context) => {
  const folder = temporaryFolder(context);
  writeFileSync(join(folder, '00001.png'), 'mine');
  const words = ['--x', 'Steps=1,2', '--outdir', folder, '-o', join(folder, 'grid.png')];
  const { code, err } = await sd([...small, ...words]);
  assert.equal(code, 2);
  assert.match(err, /00001\.png/);
  assert.ok(!existsSync(join(folder, '00000.png')), 'it is refused before the first picture');
});
