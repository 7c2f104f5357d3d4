/** The process around a command: signals, readers that leave, an old Node, memory that runs out. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { nodeWords, sdWords } from '../programs.ts';
import { autoencoderYaml, trainingRuns } from '../training/training-runs.ts';
import { startSd } from './run-cli.ts';

function folderFor(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sd-process-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

type End = { readonly code: number | null; readonly signal: string | null; readonly err: string };

function ended(child: ReturnType<typeof startSd>): Promise<End> {
  const err: string[] = [];
  child.stderr.on('data', (data) => err.push(String(data)));
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, err: err.join('') })));
}

const runs = await trainingRuns();
const config = join(runs.folder, 'a.yaml');
writeFileSync(config, autoencoderYaml(runs.pictures));

/** A training that saves where it is stopped. */
const training = (folder: string): string[] => [
  'train',
  '--config',
  config,
  '--run',
  join(folder, 'run'),
  '--steps',
  '100000',
  '--threads',
  '1',
  '--json',
];

/** Resolves when the training has made a step. */
function firstStep(child: ReturnType<typeof startSd>): Promise<void> {
  return new Promise((resolve) =>
    child.stdout.on('data', (data) => String(data).includes('"kind":"step"') && resolve()),
  );
}

test('a closed terminal (SIGHUP) saves a training as Ctrl-C does', async (t) => {
  const folder = folderFor(t);
  const child = startSd(training(folder), folder);
  const end = ended(child);
  await firstStep(child);
  child.kill('SIGHUP');
  assert.equal((await end).code, 130);
  assert.ok(
    readdirSync(join(folder, 'run'), { recursive: true, encoding: 'utf8' }).some((n) => n.endsWith('last.safetensors')),
  );
});

for (const stream of ['stdout', 'stderr'] as const)
  test(`a reader of ${stream} that has gone saves a training`, async (t) => {
    const folder = folderFor(t);
    const words = training(folder);
    const child = startSd(stream === 'stdout' ? words : words.slice(0, -1), folder);
    const end = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
      child.on('exit', (code, signal) => resolve({ code, signal })),
    );
    await new Promise<void>((resolve) => child[stream].on('data', (data) => /loss/.test(String(data)) && resolve()));
    child[stream].destroy();
    // Where nothing is written to it, the end of the reader cannot be noticed.
    if (stream === 'stderr') child.kill('SIGINT');
    const { code, signal } = await end;
    assert.deepEqual({ code, signal }, { code: 130, signal: null });
    assert.ok(
      readdirSync(join(folder, 'run'), { recursive: true, encoding: 'utf8' }).some((n) =>
        n.endsWith('last.safetensors'),
      ),
    );
  });

test('a pipe whose reader has gone ends a training that writes nothing to it', {
  skip: process.platform !== 'linux',
}, async (t) => {
  const folder = folderFor(t);
  // Steps are told once in a thousand: nothing is written when `head` has gone.
  const quiet = join(folder, 'quiet.yaml');
  writeFileSync(quiet, readFileSync(config, 'utf8').replace('log_every: 2', 'log_every: 1000'));
  const words = training(folder).slice(0, -1);
  words[2] = quiet;
  const line = [process.execPath, ...sdWords, ...words].map((word) => `'${word}'`).join(' ');
  const child = spawn('bash', ['-c', `{ ${line} 2>&1; echo "ended with $?" >&3; } | head -1`], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const said: string[] = [];
  child.stdio[3]?.on('data', (data) => said.push(String(data)));
  await once(child, 'close');
  // As after Ctrl-C, long before the last step.
  assert.match(said.join(''), /ended with 130/);
});

test('Ctrl-C is heard while a command never gives way', async (t) => {
  const folder = folderFor(t);
  // Takes the place of the command's program: a parser that never ends.
  writeFileSync(
    join(folder, 'hang.mjs'),
    `import { isMainThread } from 'node:worker_threads';
if (!isMainThread) { process.stdout.write(''); console.error('busy'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200); for (;;); }`,
  );
  const child = spawn(
    process.execPath,
    [...nodeWords('src/cli/main.ts', [pathToFileURL(join(folder, 'hang.mjs')).href]), 'tokenize', 'x'],
    { cwd: folder },
  );
  const end = ended(child as ReturnType<typeof startSd>);
  const hears = setInterval(() => child.kill('SIGINT'), 500);
  const { signal } = await end;
  clearInterval(hears);
  assert.equal(signal, 'SIGINT');
});

test('a Node that is too old is told so before anything is imported', () => {
  const old = `Object.defineProperty(process.versions, 'node', { value: '18.20.8' });`;
  const { status, stderr } = spawnSync(process.execPath, [
    ...nodeWords('src/cli/main.ts', [`data:text/javascript,${encodeURIComponent(old)}`]),
    'txt2img',
    'x',
  ]);
  assert.equal(status, 1);
  assert.match(
    String(stderr),
    /^sd: Node\.js 20\.20 or later is required, and this is 18\.20\.8\..*\[node-too-old\]\n$/,
  );
});

test('a full output is an error with a word', { skip: !existsSync('/dev/full') }, () => {
  const { status, stderr } = spawnSync('sh', [
    '-c',
    '"$0" "$@" > /dev/full',
    process.execPath,
    ...sdWords,
    'tokenize',
    'a',
  ]);
  assert.equal(status, 1);
  assert.match(String(stderr), /could not be written.*\[file-access\]/);
});
