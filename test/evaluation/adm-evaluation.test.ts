/** guided-diffusion's evaluation: its resizing, statistics in parts and in files, and `sd eval adm` with a paper's numbers. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { admInceptionTensor } from '../../src/evaluation/adm-features.ts';
import { readStatistics, runningStatistics, statisticsArrays } from '../../src/evaluation/adm-statistics.ts';
import { featureStatistics } from '../../src/evaluation/frechet-distance.ts';
import { openNpz, writeNpz } from '../../src/formats/npz.ts';
import { createImage } from '../../src/image/image.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { takeBatch } from '../../src/tensor/batches.ts';
import { sd, temporaryFolder } from '../cli/run-cli.ts';

test("TensorFlow's resizing begins at the first pixel and has no half-pixel centres", () => {
  const image = createImage(2, 1, 3, Uint8Array.of(0, 128, 255, 64, 128, 255));
  const { data, shape } = admInceptionTensor([image], 4);
  assert.deepEqual(shape, [1, 3, 4, 4]);
  // Positions 0, 0.5, 1 and 1.5, the last one beyond the second pixel.
  assert.deepEqual([...data.subarray(0, 4)], [-1, -0.75, -0.5, -0.5]);
  assert.deepEqual([...data.subarray(16, 20)], [0, 0, 0, 0]);
  assert.ok(data.subarray(32).every((value) => value === 127 / 128));
});

test('statistics gathered in parts are those of the whole', () => {
  const rows = new TorchGenerator(3).randn([40, 6]);
  rows.data.forEach((value, i) => {
    rows.data[i] = value + 100;
  });
  const running = runningStatistics(6);
  for (const [from, to] of [
    [0, 7],
    [7, 8],
    [8, 40],
  ] as const)
    running.add(takeBatch(rows, from, to));
  const [own, whole] = [running.result(), featureStatistics(rows)];
  for (const [i, value] of whole.mean.entries()) assert.ok(Math.abs(value - (own.mean[i] as number)) < 1e-9);
  for (const [i, value] of whole.covariance.data.entries())
    assert.ok(Math.abs(value - (own.covariance.data[i] as number)) < 1e-9);
  assert.throws(() => runningStatistics(2).result(), /at least 2 pictures/);
});

const setOf = (seed: number, shift: number) => {
  const of = (width: number) => {
    const rows = new TorchGenerator(seed + width).randn([20, width]);
    rows.data.forEach((value, i) => {
      rows.data[i] = value + shift;
    });
    return featureStatistics(rows);
  };
  return { pool: of(5), spatial: of(3) };
};

test('stored statistics are read as they were written', async () => {
  const set = setOf(1, 0);
  const archive = await openNpz(memoryBytes(writeNpz(statisticsArrays(set)), 'statistics.npz'));
  assert.deepEqual(archive.names, ['mu', 'sigma', 'mu_s', 'sigma_s']);
  const read = await readStatistics(archive, 'statistics.npz');
  assert.deepEqual(read.pool.mean, set.pool.mean);
  assert.deepEqual(read.spatial.covariance, set.spatial.covariance);
});

test("sd eval adm compares FID and sFID of statistics with a paper's numbers, and lists the differences", async (context) => {
  const folder = temporaryFolder(context);
  const files = [0, 2].map((shift, i) => {
    const path = join(folder, `${i}.npz`);
    writeFileSync(path, writeNpz(statisticsArrays(setOf(i, shift))));
    return path;
  }) as [string, string];
  writeFileSync(join(folder, 'sampling.json'), JSON.stringify({ steps: 25 }));
  const words = ['eval', 'adm', '--real', files[0], '--made', files[1], '--quiet', '--output', join(folder, 'report')];
  const made = await sd([...words, '--paper', 'imagenet256-upsampled']);
  assert.equal(made.code, 0, made.err);
  assert.match(made.out, /fid +\d/);
  assert.match(made.out, /sfid .* 6\.14/);
  assert.match(made.out, /250 steps .*these pictures have 25/);
  assert.match(readFileSync(join(folder, 'report', 'report.md'), 'utf8'), /What differs from the paper/);
  const same = await sd(['eval', 'adm', '--real', files[0], '--made', files[0], '--quiet', '--json']);
  assert.ok(Math.abs((JSON.parse(same.out) as { fid: number }).fid) < 1e-6);
  const wrong = await sd([...words, '--paper', 'nothing']);
  assert.match(wrong.err, /--paper must be one of imagenet64/);
});
