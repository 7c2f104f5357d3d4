/** `sd train` as people type it: what is wrong with a line, a run, an interruption, and going on. */

import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { autoencoderYaml, trainingRuns } from '../training/training-runs.ts';
import { sd, startSd, temporaryFolder } from './run-cli.ts';

const runs = await trainingRuns();
const config = join(runs.folder, 'a.yaml');
writeFileSync(config, autoencoderYaml(runs.pictures));

test('lines that cannot work', async () => {
  for (const words of [
    ['train'],
    ['train', 'elephant'],
    ['train', 'lora', '--config', config],
    ['train', '--config', config, '--steps', '0'],
  ])
    assert.equal((await sd(words)).code, 2, words.join(' '));
  assert.match((await sd(['train', 'elephant'])).err, /lora, dreambooth, .*textual-inversion/);
  assert.equal((await sd(['train', '--config', '/nowhere.yaml'])).code, 1);
  assert.match((await sd(['train', '--config', config, 'training.sead=1'])).err, /sead.*\[config-invalid\]/);
});

test('a run to its end, with its path; over it only with --resume, which may change settings', async () => {
  const folder = join(runs.folder, 'run');
  const first = await sd(['train', '--config', config, '--run', folder, '--steps', '2', '--threads', '1', '--report']);
  assert.equal(first.code, 0, first.err);
  assert.equal(first.out, `${join(folder, 'model.safetensors')}\n`);
  assert.ok(existsSync(join(folder, 'report.html')));
  assert.match(first.err, /2\/2 .* loss /);
  const again = await sd(['train', '--config', config, '--run', folder]);
  assert.equal(again.code, 2);
  assert.match(again.err, /holds a run already/);
  const more = await sd(['train', '--resume', '--run', folder, '--steps', '3', '--threads', '1', '--json']);
  assert.equal(more.code, 0, more.err);
  const events = more.out
    .trim()
    .split('\n')
    .map((line): { kind: string; step: number; status?: string } => JSON.parse(line));
  assert.deepEqual(
    events.filter(({ kind }) => kind === 'step').map(({ step }) => step),
    [3],
  );
  assert.equal(events.at(-1)?.status, 'finished');
});

test('Ctrl-C saves and stops; a line says how to go on', async () => {
  const folder = join(runs.folder, 'interrupted');
  const child = startSd(
    ['train', '--config', config, '--run', folder, '--steps', '100000', '--threads', '1', '--json'],
    runs.folder,
  );
  let err = '';
  child.stderr.on('data', (chunk) => {
    err += String(chunk);
  });
  let sent = false;
  child.stdout.on('data', (chunk) => {
    if (!sent && String(chunk).includes('"kind":"step"')) sent = child.kill('SIGINT');
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(code, 130, err);
  assert.match(err, /Stopped\. Resume with: sd train --resume --run/);
  assert.ok(existsSync(join(folder, 'checkpoints', 'last.safetensors')));
});

test('on a terminal: a bar that is written over, with throughput and time left', async () => {
  const { err } = await sd(
    ['train', '--config', config, '--run', join(runs.folder, 'terminal'), '--steps', '3', '--threads', '1'],
    { columns: 90 },
  );
  assert.match(err, /\r\x1b\[K3\/3 ━+ 100% {2}loss [\d.]+ {2}[\d.]+ (?:it\/s|s\/it) {2}[\d.]+ img\/s {2}\S+ left/);
});

test('a recipe without pictures names --data, before anything is loaded or announced', async (context) => {
  const folder = temporaryFolder(context);
  const run = ['--run', join(folder, 'run')];
  for (const words of [
    ['lora', '--model', 'nosuch.safetensors'],
    ['dreambooth', '--model', 'nosuch.safetensors', 'data.params.batch_size=2'],
    ['image-train'],
  ]) {
    const { code, err } = await sd(['train', ...words, ...run]);
    assert.match(err, new RegExp(`^sd: --data is required: the recipe ${words[0]} trains on pictures`));
    assert.equal(code, 2);
  }
  const missing = await sd(['train', 'lora', '--model', 'nosuch.safetensors', '--data', folder, ...run]);
  assert.match(missing.err, /^sd: .*nosuch\.safetensors/);
  assert.ok(!existsSync(join(folder, 'run')));
});
