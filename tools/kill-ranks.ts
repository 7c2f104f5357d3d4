/**
 * Kills ranks of a training at random and compares what comes of it: the weights must be those of the undisturbed run, to the bit.
 *
 *     nice node --import ./tools/typescript.mjs tools/kill-ranks.ts [kills] [seed]
 *
 * The run is a tiny autoencoder in three phases with 2, 3 and 2 ranks of the installed Open MPI or MPICH. After each kill it is resumed with the ranks
 * of its phase. 20 kills take about five minutes on a quiet machine with two cores. Exits with 1 where weights differ or a job hangs.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeImageCodec } from '../src/image/codec/codec-node.ts';
import { createImage } from '../src/image/image.ts';
import { TorchGenerator } from '../src/random/torch-generator.ts';
import { mpis, onRanks, type RanksRun } from '../test/distributed/mpi.ts';
import { rankProcesses } from '../test/distributed/rank-processes.ts';
import { autoencoderYaml } from '../test/training/tiny-yaml.ts';

const phases = [
  { ranks: 2, to: 12 },
  { ranks: 3, to: 24 },
  { ranks: 2, to: 36 },
] as const;
const wholeBatch = 6;
/** Seconds in which a job must end when one of its ranks is gone. */
const patience = 60;

const [kills = 20, seed = 1] = process.argv.slice(2).map(Number);
const draws = new TorchGenerator(seed);
const mpi = mpis[0]?.name;
if (mpi === undefined) throw new Error('no MPI is installed');

const folder = mkdtempSync(join(tmpdir(), 'kill-ranks-'));
const pictures = join(folder, 'pictures');
mkdirSync(pictures);
for (let i = 0; i < 12; i++) {
  const image = createImage(16, 16, 3);
  for (const at of image.data.keys()) image.data[at] = (at * (i + 3)) % 251;
  writeFileSync(join(pictures, `${i}.png`), await nodeImageCodec.encode(image, { format: 'png' }));
}
const config = join(folder, 'autoencoder.yaml');
writeFileSync(config, autoencoderYaml(pictures));

/** Trains up to a step; kills one rank some events after the job began, if it comes that far. */
async function train(
  run: string,
  phase: (typeof phases)[number],
  killAfter?: number,
): Promise<RanksRun & { killed: boolean }> {
  let launcher = 0;
  let events = 0;
  let killed = 0;
  const words = [
    ...['train', '--config', config, '--run', join(folder, run), '--steps', String(phase.to), '--resume', '--json'],
    ...['--threads', '1', `data.params.batch_size=${wholeBatch / phase.ranks}`, 'training.log_every=1'],
    ...['lightning.modelcheckpoint.params.every_n_train_steps=2', 'lightning.trainer.accumulate_grad_batches=1'],
    ...['lightning.callbacks.image_logger.params.batch_frequency=0', 'training.shard_states=true'],
    ...['training.shard_gradients=true', 'training.backward_parts=2'],
  ];
  const result = await onRanks(mpi as string, phase.ranks, ['src/cli/main.ts', ...words], {
    limit: 600,
    started: (pid) => {
      launcher = pid;
    },
    line: (line) => {
      if (!line.includes('"kind":"step"') || ++events !== killAfter) return;
      const pids = rankProcesses(launcher);
      const victim = pids[draws.integer(0, pids.length)];
      if (victim === undefined) return;
      killed = Date.now();
      process.kill(victim, 'SIGKILL');
    },
  });
  if (result.code === null) throw new Error('a job hung');
  if (killed > 0 && Date.now() - killed > patience * 1000)
    throw new Error(`a job went on for ${Math.round((Date.now() - killed) / 1000)} s without one of its ranks`);
  if (killed === 0 && result.code !== 0) throw new Error(`a job failed by itself: ${result.err}`);
  return { ...result, killed: killed > 0 };
}

try {
  for (const phase of phases) await train('undisturbed', phase);
  let done = 0;
  for (const [i, phase] of phases.entries()) {
    const share = Math.round(((i + 1) * kills) / phases.length);
    while (done < share) {
      // Few steps at a time, so that the phase is not over before all its kills.
      const { killed, code } = await train('killed', phase, 1 + draws.integer(0, 2));
      if (!killed && code === 0) break;
      done++;
      process.stdout.write(`killed ${done} of ${kills}, in the phase with ${phase.ranks} ranks\n`);
    }
    await train('killed', phase);
  }
  const weights = (run: string): Buffer => readFileSync(join(folder, run, 'checkpoints', 'last.safetensors'));
  const same = weights('killed').equals(weights('undisturbed'));
  process.stdout.write(
    `${done} kills: the final checkpoint ${same ? 'is' : 'is NOT'} that of the undisturbed run, to the bit\n`,
  );
  process.exitCode = same && done === kills ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
