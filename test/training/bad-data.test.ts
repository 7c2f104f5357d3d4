/** Bad data and bad luck: a named warning and the run goes on, or a clear stop with the last good checkpoint as it was. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Problem } from '../../src/training/data/problems.ts';
import { openCheckpoint } from '../../src/training/run/checkpoints-node.ts';
import { reference, skipUnless } from '../reference.ts';
import { autoencoderYaml, diffusionYaml, eventsOf, trainingRuns } from './training-runs.ts';

const runs = await trainingRuns();
const yaml = autoencoderYaml(runs.pictures);
const quick = [
  'lightning.trainer.accumulate_grad_batches=1',
  'lightning.callbacks.image_logger.params.batch_frequency=0',
  'data.params.validation=null',
];

/** The problems that a run meets. */
async function problemsOf(run: string, overrides: readonly string[]): Promise<Problem[]> {
  const problems: Problem[] = [];
  await eventsOf({
    ...runs.options(yaml, run, [...quick, ...overrides]),
    onProblem: (problem) => problems.push(problem),
  });
  return problems;
}

const stepOf = async (run: string): Promise<number> => {
  const { step, weights } = await openCheckpoint(join(runs.folder, run, 'checkpoints', 'last.safetensors'));
  for (const name of weights.entries.keys())
    assert.ok(Array.from((await weights.read(name)).data, Number).every(Number.isFinite), name);
  await weights.close();
  return step;
};

test('corrupt pictures are left out by name, once in the warnings however often they come; the rest is trained on', async () => {
  const folder = join(runs.folder, 'damaged');
  mkdirSync(folder);
  for (const name of ['0.png', '1.png', '2.png']) copyFileSync(join(runs.pictures, name), join(folder, name));
  truncateSync(join(folder, '1.png'), 60);
  writeFileSync(join(folder, 'text.jpg'), 'this is no picture');
  symlinkSync('/etc/passwd', join(folder, 'link.png'));
  const problems = await problemsOf('damaged-run', [`data.params.train.params.data_root=${folder}`]);
  assert.deepEqual(problems.map(({ kind, name }) => `${kind} ${name}`).sort(), [
    'corrupt-image 1.png',
    'corrupt-image text.jpg',
    'unsafe-name link.png',
  ]);
  assert.equal(await stepOf('damaged-run'), 8);
  assert.match(
    runs.file('damaged-run', 'report.html').toString(),
    /corrupt-image: 2 \((?:1\.png, text\.jpg|text\.jpg, 1\.png)\)/,
  );
});

test('a whole data set of damaged pictures stops, with the names', async () => {
  const folder = join(runs.folder, 'ruined');
  mkdirSync(folder);
  writeFileSync(join(folder, 'a.png'), 'nothing');
  await assert.rejects(problemsOf('ruined-run', [`data.params.train.params.data_root=${folder}`]), {
    code: 'invalid-argument',
    message: /a\.png/,
  });
});

test('a picture without caption is used with an empty one, and named', async () => {
  const folder = join(runs.folder, 'bare');
  mkdirSync(folder);
  for (const name of ['0.png', '1.png']) copyFileSync(join(runs.pictures, name), join(folder, name));
  writeFileSync(join(folder, '0.txt'), 'a red square');
  await eventsOf(runs.options(yaml, 'autoencoder', [...quick, 'lightning.trainer.max_steps=1']));
  const problems: Problem[] = [];
  const options = runs.options(
    diffusionYaml(folder, join(runs.folder, 'autoencoder', 'model.safetensors')),
    'bare-run',
    ['lightning.trainer.max_steps=2'],
  );
  await eventsOf({ ...options, onProblem: (problem) => problems.push(problem) });
  assert.deepEqual(
    problems.map(({ kind, name }) => `${kind} ${name}`),
    ['missing-caption 1.png'],
  );
  assert.equal(await stepOf('bare-run'), 2);
});

const truncatedTar = 'files/datasets/00002-truncated.tar';

test('a truncated shard: its samples before the cut are used, and it is named', {
  skip: skipUnless(truncatedTar),
}, async () => {
  const problems = await problemsOf('cut-run', [
    `data.params.train.params.data_root=${reference(truncatedTar)}`,
    'lightning.trainer.max_steps=3',
  ]);
  assert.ok(
    problems.some(({ kind, name }) => kind === 'truncated-shard' && name.endsWith('00002-truncated.tar')),
    JSON.stringify(problems),
  );
  assert.equal(await stepOf('cut-run'), 3);
});

test('a loss that becomes NaN stops the run; checkpoint and model are those from before, and the report says why', async () => {
  await eventsOf(runs.options(yaml, 'nan', [...quick, 'lightning.trainer.max_steps=3']));
  const before = runs.file('nan', 'model.safetensors');
  await assert.rejects(eventsOf(runs.options(yaml, 'nan', [...quick, 'model.base_learning_rate=1e30'])), {
    code: 'not-finite',
  });
  assert.equal(await stepOf('nan'), 3);
  assert.ok(runs.file('nan', 'model.safetensors').equals(before));
  assert.match(runs.file('nan', 'report.html').toString(), /class="status">failed/);
  const good = await eventsOf(runs.options(yaml, 'nan', quick));
  assert.deepEqual(good.at(-1), { kind: 'end', step: 8, status: 'finished' });
});

test('a full disk stops the run with its name; the last checkpoint is whole, and the run goes on when there is room', async (t) => {
  const disk = join(runs.folder, 'disk');
  mkdirSync(disk);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', disk]).status !== 0) {
    t.skip('needs the right to mount a small disk');
    return;
  }
  try {
    await eventsOf(runs.options(yaml, 'disk/run', [...quick, 'lightning.trainer.max_steps=2', 'training.keep_best=0']));
    writeFileSync(join(disk, 'ballast'), '');
    // Fill it until less is left than a checkpoint takes.
    const size = runs.file('disk/run', 'checkpoints/last.safetensors').length;
    const free = (): number =>
      Number(spawnSync('df', ['--output=avail', '-B1', disk]).stdout.toString().trim().split('\n').at(-1));
    writeFileSync(join(disk, 'ballast'), new Uint8Array(Math.max(0, free() - Math.trunc(size / 2))));
    await assert.rejects(eventsOf(runs.options(yaml, 'disk/run', [...quick, 'training.keep_best=0'])), {
      code: 'file-access',
      message: /disk is full/,
    });
    assert.equal(await stepOf('disk/run'), 2);
    rmSync(join(disk, 'ballast'));
    const end = (await eventsOf(runs.options(yaml, 'disk/run', [...quick, 'training.keep_best=0']))).at(-1);
    assert.deepEqual(end, { kind: 'end', step: 8, status: 'finished' });
    assert.ok(readFileSync(join(disk, 'run', 'metrics.jsonl'), 'utf8').length > 0);
  } finally {
    spawnSync('umount', [disk]);
  }
});
