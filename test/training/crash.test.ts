/**
 * kill -9 at random moments: a run of a small latent diffusion model, resumed each time, ends with the weights of the run that was left
 * alone, to the bit. By default 3 kills; SD_LONG=1 makes 20.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { sdWords } from '../programs.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { autoencoderYaml, diffusionYaml, eventsOf, trainingRuns } from './training-runs.ts';

const runs = await trainingRuns();

const long = process.env['SD_LONG'] === '1';
const kills = long ? 20 : 3;
const steps = long ? 80 : 24;

/** `sd train` in a process of its own, killed after so many lines of its output and milliseconds; gives the exit code, or null where it was killed. */
function sdTrain(
  config: string,
  run: string,
  killAfter?: { readonly lines: number; readonly milliseconds: number },
): Promise<{ readonly code: number | null; readonly errors: string }> {
  const child = spawn(
    process.execPath,
    [...sdWords, 'train', '--config', config, '--run', run, '--resume', '--report', '--threads', '1', '--json'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let lines = 0;
  let errors = '';
  const kill = (): void => {
    if (killAfter) setTimeout(() => child.kill('SIGKILL'), killAfter.milliseconds);
  };
  if (killAfter?.lines === 0) kill();
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.includes('"error"')) errors += line;
    if (++lines === killAfter?.lines) kill();
  });
  child.stderr.on('data', (chunk) => {
    errors += String(chunk);
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, errors })));
}

test(`a run killed ${kills} times and resumed ends with the weights of the uninterrupted run`, async (t) => {
  await eventsOf(
    runs.options(autoencoderYaml(runs.pictures), 'autoencoder', [
      'lightning.trainer.max_steps=1',
      'lightning.callbacks.image_logger.params.batch_frequency=0',
    ]),
  );
  const config = (name: string): string => {
    const path = join(runs.folder, `${name}.yaml`);
    const text = diffusionYaml(runs.pictures, join(runs.folder, 'autoencoder', 'model.safetensors'))
      .replace(/max_steps: \d+/, `max_steps: ${steps}`)
      .replace('batch_frequency: 0', 'batch_frequency: 7')
      .replace('\ntraining: {', `\ntraining: { latent_cache: ${join(runs.folder, `${name}-latents`)},`);
    writeFileSync(path, text);
    return path;
  };
  const folder = (name: string): string => join(runs.folder, name);
  const whole = await sdTrain(config('whole'), folder('whole'));
  assert.equal(whole.code, 0, whole.errors);

  const generator = new TorchGenerator(long ? Date.now() : 5);
  const moments: string[] = [];
  for (let i = 0; i < kills; i++) {
    // Some before the first step: while it loads, while latents are made.
    const killAfter = { lines: generator.integer(0, 14), milliseconds: generator.integer(0, 120) };
    const { code, errors } = await sdTrain(config('killed'), folder('killed'), killAfter);
    moments.push(`${killAfter.lines} events and ${killAfter.milliseconds} ms`);
    assert.ok(code === null || code === 0, errors);
    if (code === 0) break;
  }
  t.diagnostic(`killed after ${moments.join('; ')}`);
  const last = await sdTrain(config('killed'), folder('killed'));
  assert.equal(last.code, 0, last.errors);
  for (const name of ['model.safetensors', 'checkpoints/last.safetensors'])
    assert.ok(readFileSync(join(folder('killed'), name)).equals(readFileSync(join(folder('whole'), name))), name);
  // Nothing half-written is left.
  assert.deepEqual(
    readdirSync(runs.folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.tmp')),
    [],
  );
  const losses = (run: string): (number | undefined)[][] =>
    runs
      .metrics(run)
      .filter((row) => 'train/loss' in row)
      .map((row) => [row['step'], row['train/loss']]);
  assert.deepEqual(losses('killed'), losses('whole'));
});
