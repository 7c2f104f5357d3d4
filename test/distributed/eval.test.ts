/** `sd eval` and `sd database` on ranks: the measures and files of one process. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { sd } from '../cli/run-cli.ts';
import { smallClip } from '../evaluation/small-clip.ts';
import { admFlagText, writeAdmModel } from './adm-model.ts';
import { onRanks, skip } from './mpi.ts';
import { writeTextModel } from './text-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'eval-ranks-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const pictures = join(folder, 'pictures');
const clip = join(folder, 'clip.safetensors');
const adm = join(folder, 'adm.safetensors');
const textToImage = join(folder, 'text.safetensors');

before(async () => {
  mkdirSync(pictures);
  for (let n = 0; n < 35; n++) {
    const image = createImage(32, 32, 3);
    for (const i of image.data.keys()) image.data[i] = (Math.sin((n + 1) * i * 0.01) + 1) * (90 + n);
    const name = join(pictures, `${n % 3 === 0 ? 'cat' : 'dog'}_${String(n).padStart(2, '0')}`);
    const png = await nodeImageCodec.encode(image, { format: 'png' });
    writeFileSync(`${name}.png`, n === 5 ? Uint8Array.of(1) : png);
    writeFileSync(`${name}.txt`, `picture ${n}`);
  }
  const network = smallClip();
  await writeFileAtomic(
    clip,
    writeSafetensors(network.entries.values(), ({ name }) => network.read(name)),
  );
  await writeAdmModel(adm);
  await writeTextModel(textToImage);
});

/** Every number of `got` within 1e-6 of that of `want`. */
function near(got: unknown, want: unknown, path = ''): void {
  if (typeof want === 'number' && typeof got === 'number')
    assert.ok(Math.abs(got - want) <= 1e-6 * Math.max(1, Math.abs(want)), `${path}: ${got}, not ${want}`);
  else if (typeof want === 'object' && want !== null) {
    assert.deepEqual(Object.keys(got as object), Object.keys(want));
    for (const [name, value] of Object.entries(want))
      near((got as Record<string, unknown>)[name], value, `${path}.${name}`);
  } else assert.equal(got, want, path);
}

/** Runs a line of `sd eval` on one process and on ranks, each with a folder of its own, and compares numbers and files. */
async function sameOnRanks(mpi: string, size: number, words: readonly string[], files: number): Promise<void> {
  const run = (out: string): string[] => [
    ...['eval', ...words, '--real', pictures, '--threads', '1', '--json'],
    ...(files > 0 ? ['--output', join(folder, out)] : []),
  ];
  const [name = ''] = words;
  const one = await sd(run(`${name}-one`));
  assert.equal(one.code, 0, one.err);
  const many = await onRanks(mpi, size, ['src/cli/main.ts', ...run(`${name}-many`)]);
  assert.equal(many.code, 0, many.err);
  near(JSON.parse(many.out), JSON.parse(one.out));
  if (files === 0) return;
  const names = readdirSync(join(folder, `${name}-one`)).sort();
  assert.equal(names.length, files);
  assert.deepEqual(readdirSync(join(folder, `${name}-many`)).sort(), names);
  for (const file of names.filter((one) => one.endsWith('.png') && !one.startsWith('fid-clip')))
    assert.deepEqual(
      readFileSync(join(folder, `${name}-many`, file)),
      readFileSync(join(folder, `${name}-one`, file)),
      file,
    );
}

const limits = { timeout: 300_000 };

test('sd eval reconstruction on 3 ranks', { skip: skip('Open MPI'), ...limits }, () =>
  sameOnRanks('Open MPI', 3, ['reconstruction', '--model', textToImage], 1),
);

test('sd eval guidance on 2 ranks', { skip: skip('MPICH'), ...limits }, () =>
  sameOnRanks(
    'MPICH',
    2,
    ['guidance', '--model', textToImage, '--features', clip, '--count', '20', '--steps', '2', '--scales', '1,3'],
    5,
  ),
);

test('sd eval bits on 3 ranks', { skip: skip('Open MPI'), ...limits }, () =>
  // More ranks than pictures: one has none.
  sameOnRanks('Open MPI', 3, ['bits', '--model', adm, '--flags', admFlagText, '--steps', '3', '--count', '2'], 0),
);

test('sd database on 3 ranks writes the files of one process, and goes on with 2', {
  skip: skip('Open MPI'),
  ...limits,
}, async () => {
  const run = (out: string): string[] => [
    ...[
      'database',
      pictures,
      '--clip',
      clip,
      '--outdir',
      join(folder, out),
      '--rows',
      '10',
      '--threads',
      '1',
      '--json',
    ],
  ];
  const files = (out: string): Buffer[] => {
    const names = readdirSync(join(folder, out)).sort();
    assert.deepEqual(names, ['part-00000.npz', 'part-00001.npz', 'part-00002.npz', 'part-00003.npz']);
    return names.map((name) => readFileSync(join(folder, out, name)));
  };
  const one = await sd(run('database-one'));
  assert.equal(one.code, 0, one.err);
  const many = await onRanks('Open MPI', 3, ['src/cli/main.ts', ...run('database-many')]);
  assert.deepEqual(JSON.parse(many.out), { path: join(folder, 'database-many'), rows: 34 });
  assert.deepEqual(files('database-many'), files('database-one'));
  for (const part of [2, 3]) rmSync(join(folder, 'database-many', `part-0000${part}.npz`));
  const rest = await onRanks('Open MPI', 2, ['src/cli/main.ts', ...run('database-many')]);
  assert.equal(rest.code, 0, rest.err);
  assert.deepEqual(files('database-many'), files('database-one'));
});
