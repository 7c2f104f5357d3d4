/** Commands that no launcher of MPI started load nothing of it. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeWords } from '../programs.ts';
import { autoencoderYaml, trainingRuns } from '../training/training-runs.ts';

const runs = await trainingRuns();

function sdWithoutKoffi(...words: readonly string[]) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(OMPI|PMI|SLURM)/.test(name)));
  const program = nodeWords('src/cli/main.ts', ['./test/distributed/without-koffi.mjs']);
  return spawnSync(process.execPath, [...program, ...words], { env, encoding: 'utf8' });
}

test('commands that can run on ranks do not load koffi in one process', () => {
  const config = join(runs.folder, 'autoencoder.yaml');
  writeFileSync(config, autoencoderYaml(runs.pictures));
  const one = ['train', '--config', config, '--run', join(runs.folder, 'run'), '--steps', '1', '--threads', '1'];
  const trained = sdWithoutKoffi(...one);
  assert.equal(trained.status, 0, trained.stderr);
  for (const words of [['samplers'], ['sample', '--help'], ['eval', '--help'], ['database', '--help']])
    assert.equal(sdWithoutKoffi(...words).status, 0, words.join(' '));
  // The check can fail: MPI that is asked for loads it.
  const asked = sdWithoutKoffi(...one, '--distributed', 'mpi');
  assert.notEqual(asked.status, 0);
  assert.match(asked.stderr, /npm install koffi/);
});
