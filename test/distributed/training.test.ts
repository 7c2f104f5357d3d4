/**
 * `sd train` on real ranks: any number of them gives the run of one with the whole batch; a rank that is killed ends the job, and the last
 * checkpoint goes on to the same bits; a signal to one rank saves and stops all.
 */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { autoencoderYaml, diffusionYaml, eventsOf, trainingRuns } from '../training/training-runs.ts';
import { localRanks } from './local-ranks.ts';
import { onRanks, type RanksOptions, type RanksRun, skip } from './mpi.ts';
import { rankProcesses } from './rank-processes.ts';

const runs = await trainingRuns();
await eventsOf(
  runs.options(autoencoderYaml(runs.pictures), 'autoencoder', [
    'lightning.trainer.max_steps=1',
    'lightning.callbacks.image_logger.params.batch_frequency=0',
  ]),
);
const yaml = diffusionYaml(runs.pictures, join(runs.folder, 'autoencoder', 'model.safetensors'));
const config = join(runs.folder, 'diffusion.yaml');
writeFileSync(config, yaml.replace('sample_prompts: [a red square, a blue square], ', ''));
/** Of the whole batch, over all ranks. */
const batch = 4;

function sdTrain(
  name: string,
  ranks: number,
  run: string,
  steps: number,
  { words = [], ...options }: RanksOptions & { readonly words?: readonly string[] } = {},
): Promise<RanksRun> {
  const line = ['train', '--config', config, '--run', join(runs.folder, run), '--steps', String(steps), '--resume'];
  const settings = [
    '--threads',
    '1',
    '--json',
    `data.params.batch_size=${batch / ranks}`,
    'training.log_every=1',
    ...words,
  ];
  return onRanks(name, ranks, ['src/cli/main.ts', ...line, ...settings], options);
}

/** The run of so many ranks in this process. */
async function inThisProcess(size: number, run: string, steps: number, words: readonly string[] = []): Promise<void> {
  const settings = [
    `lightning.trainer.max_steps=${steps}`,
    `data.params.batch_size=${batch / size}`,
    'training.log_every=1',
    ...words,
  ];
  const options = runs.options(readFileSync(config, 'utf8'), run, settings);
  await Promise.all(localRanks(size).map((communicator) => eventsOf({ ...options, report: false, communicator })));
}

const losses = (run: string): number[] => runs.metrics(run).map((row) => row['train/loss'] ?? Number.NaN);
const bits = (run: string): Buffer => runs.file(run, 'checkpoints/last.safetensors');

function near(got: readonly number[], want: readonly number[]): void {
  assert.equal(got.length, want.length);
  for (const [i, value] of got.entries())
    assert.ok(Math.abs(value / (want[i] as number) - 1) < 1e-5, `step ${i + 1}: ${value}, not ${want[i]}`);
}

/** Processes are found in /proc. */
const onLinux = (name: string): false | string =>
  process.platform === 'linux' ? skip(name) : 'processes are found on Linux alone';

/** Does something to the processes when so many steps are done. */
function atStep(steps: number, act: (pids: number[]) => void): RanksOptions {
  let launcher = 0;
  let done = false;
  return {
    started: (pid) => {
      launcher = pid;
    },
    line: (line) => {
      if (done || !line.includes(`"kind":"step","step":${steps}`)) return;
      done = true;
      act(rankProcesses(launcher));
    },
  };
}

const [first = '', second = first] = ['Open MPI', 'MPICH'].filter((name) => !skip(name));

test('2 ranks of one MPI train as one process, and 4 of another go on with the run', {
  skip: skip('Open MPI') && skip('MPICH'),
  timeout: 600_000,
}, async () => {
  await inThisProcess(1, 'alone', 5);
  for (const [name, ranks, steps] of [
    [first, 2, 3],
    [second, 4, 5],
  ] as const) {
    const { code, err } = await sdTrain(name, ranks, 'on ranks', steps);
    assert.equal(code, 0, err);
  }
  near(losses('on ranks'), losses('alone'));
});

test('a rank killed with SIGKILL ends the job; the last checkpoint goes on to the bits of ranks in one process', {
  skip: onLinux('Open MPI'),
  timeout: 600_000,
}, async () => {
  const parts = ['training.backward_parts=2', 'lightning.trainer.accumulate_grad_batches=1'];
  let killed = 0;
  // With divided states and gradients, whose bits are the same.
  const words = [...parts, 'training.shard_states=true', 'training.shard_gradients=true'];
  const cut = await sdTrain('Open MPI', 2, 'cut', 100_000, {
    words,
    ...atStep(3, (pids) => {
      killed = pids.length;
      process.kill(pids.at(-1) as number, 'SIGKILL');
    }),
  });
  assert.equal(killed, 2);
  assert.notEqual(cut.code, null, 'the job went on');
  assert.notEqual(cut.code, 0);
  // As many as were made until the rank was gone, and two more.
  const steps =
    2 + Math.max(...Array.from(cut.out.matchAll(/"kind":"step","step":(\d+)/g), ([, step]) => Number(step)));
  await inThisProcess(2, 'whole', steps, parts);
  const rest = await sdTrain('Open MPI', 2, 'cut', steps, { words });
  assert.equal(rest.code, 0, rest.err);
  assert.ok(bits('cut').equals(bits('whole')));
});

test('a killed rank ends the job on MPICH too', { skip: onLinux('MPICH'), timeout: 300_000 }, async () => {
  let killed = 0;
  const cut = await sdTrain('MPICH', 2, 'cut on MPICH', 100_000, {
    ...atStep(2, (pids) => {
      killed = pids.length;
      process.kill(pids[0] as number, 'SIGKILL');
    }),
  });
  assert.equal(killed, 2);
  assert.ok(cut.code !== null && cut.code !== 0, cut.err);
});

for (const name of ['Open MPI', 'MPICH'])
  test(`SIGUSR1 to one rank of ${name} saves and stops all at the same step`, {
    skip: onLinux(name),
    timeout: 300_000,
  }, async () => {
    const run = `stopped ${name}`;
    const { code, out, err } = await sdTrain(name, 2, run, 100_000, {
      limit: 200,
      ...atStep(2, (pids) => process.kill(pids.at(-1) as number, 'SIGUSR1')),
    });
    assert.notEqual(code, null, `the job hung: ${err}`);
    assert.match(out, /"kind":"end","step":\d+,"status":"stopped"/);
    assert.match(err, /Stopped\. Resume with/);
    assert.ok(bits(run).length > 0);
  });
