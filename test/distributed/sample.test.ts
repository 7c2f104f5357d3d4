/** `sd sample` on ranks: the files of one process, whatever the number of ranks, also when a run goes on with another number. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createImage } from '../../src/image/image.ts';
import { bulkSamples } from '../../src/pipelines/bulk/bulk-samples-node.ts';
import { sd } from '../cli/run-cli.ts';
import { admFlagText, writeAdmModel } from './adm-model.ts';
import { localRanks } from './local-ranks.ts';
import { onRanks, skip } from './mpi.ts';

const folder = mkdtempSync(join(tmpdir(), 'sample-ranks-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (...parts: string[]): string => join(folder, ...parts);

const line = (out: string, ...more: string[]): string[] => [
  ...['sample', '--model', at('adm.safetensors'), '--flags', admFlagText, '--steps', '2', '--threads', '1', '--quiet'],
  ...['--outdir', at(out), '--batch', '2', ...more],
];

const filesIn = (...place: string[]): Map<string, Buffer> =>
  new Map(
    readdirSync(at(...place))
      .sort()
      .map((name) => [name, readFileSync(at(...place, name))]),
  );

test('sd sample on 2 and 3 ranks makes the files of one process, and goes on with another number of ranks', {
  skip: skip('Open MPI') && skip('MPICH'),
  timeout: 300_000,
}, async () => {
  await writeAdmModel(at('adm.safetensors'));
  assert.equal((await sd(line('one', '--count', '11'))).code, 0);
  const want = filesIn('one', 'img');
  assert.equal(want.size, 11);
  const names = ['Open MPI', 'MPICH'].filter((name) => !skip(name));
  const [first = '', second = first] = names;
  // A shard of the set on two ranks, the rest on three.
  const half = await onRanks(first, 2, [
    'src/cli/main.ts',
    ...line('many', '--count', '11', '--shard', '1/2', '--json'),
  ]);
  assert.equal(half.code, 0, half.err);
  assert.deepEqual(JSON.parse(half.out), { path: at('many', 'img'), made: 6, count: 11 });
  const rest = await onRanks(second, 3, ['src/cli/main.ts', ...line('many', '--count', '11', '--json')]);
  assert.equal(rest.code, 0, rest.err);
  assert.equal(JSON.parse(rest.out).made, 5);
  assert.deepEqual(filesIn('many', 'img'), want);

  assert.equal((await sd(line('one-npz', '--count', '5', '--npz'))).code, 0);
  const npz = await onRanks(second, 2, ['src/cli/main.ts', ...line('npz', '--count', '5', '--npz')]);
  assert.equal(npz.code, 0, npz.err);
  assert.equal(npz.out.trim(), at('npz', 'samples_5x16x16x3.npz'));
  const archive = 'samples_5x16x16x3.npz';
  assert.deepEqual(readFileSync(at('npz', archive)), readFileSync(at('one-npz', archive)));
});

const maker = {
  width: 4,
  height: 4,
  make: async (indices: readonly number[]) =>
    indices.map((index) => createImage(4, 4, 3, new Uint8Array(48).fill(index))),
};

test('a folder whose settings are damaged is refused by the name of their file', async () => {
  for (const [i, text] of ['{', 'null', '5'].entries()) {
    const damaged = at(`damaged-${i}`);
    mkdirSync(damaged);
    writeFileSync(join(damaged, 'sampling.json'), text);
    await assert.rejects(bulkSamples({ folder: damaged, maker, count: 2, batch: 2, settings: { a: 1 } }), {
      code: 'file-corrupt',
      message: /sampling\.json does not hold/,
    });
  }
});

test('ranks with folders of their own are refused', async () => {
  const ends = await Promise.allSettled(
    localRanks(2).map((ranks) =>
      bulkSamples({ folder: at(`own-${ranks.rank}`), maker, count: 6, batch: 2, ranks, settings: {} }),
    ),
  );
  assert.match(String(ends[0]?.status === 'rejected' && ends[0].reason), /lacks 2 pictures .* need the same folder/);
});
