/** Models by name: from a hub of the test's own, into the cache that Python's programs use as well. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { keptModels, removeKept } from '../../src/hub/hub-cache-node.ts';
import { hubSettings } from '../../src/hub/hub-settings.ts';
import { modelPath } from '../../src/hub/pull-node.ts';
import { sd } from '../cli/run-cli.ts';
import { sdWords } from '../programs.ts';
import { commit, etagOf, startStubHub, type StubHub } from './stub-hub.ts';

const bytes = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 255);
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const big = bytes(3_000_000, 1);
const repositories = {
  'org/model': {
    'model_index.json': text('{"unet": ["diffusers", "UNet2DConditionModel"]}'),
    'README.md': text('# model'),
    'model.ckpt': bytes(5000, 2),
    'model.safetensors': bytes(5000, 3),
    'unet/config.json': text('{}'),
    'unet/diffusion_pytorch_model.safetensors': big,
    'unet/diffusion_pytorch_model.fp16.safetensors': bytes(1500, 4),
    'unet/diffusion_pytorch_model.bin': bytes(3000, 5),
    'vae/config.json': text('{ }'),
    'vae/diffusion_pytorch_model.safetensors': bytes(2000, 6),
    'tokenizer/merges.txt': text('#version: 0.2'),
    'scheduler/scheduler_config.json': text('{"a": 1}'),
  },
  'org/single': {
    'a.ckpt': bytes(2000, 7),
    'a.safetensors': bytes(2100, 8),
    'a.yaml': text('model: {}'),
    'sub/b.safetensors': bytes(10, 9),
  },
  'org/two': { 'a.safetensors': bytes(20, 1), 'b.safetensors': bytes(20, 2) },
};

async function setUp(context: TestContext): Promise<{
  hub: StubHub;
  environment: Record<string, string>;
  cache: string;
  pull: (name: string, variant?: string) => Promise<string>;
}> {
  const home = mkdtempSync(join(tmpdir(), 'sd-hub-'));
  const hub = await startStubHub(repositories);
  context.after(async () => {
    await hub.close();
    rmSync(home, { recursive: true, force: true });
  });
  const environment = {
    HF_ENDPOINT: hub.address,
    HF_HOME: join(home, 'hf'),
    HOME: home,
    XDG_CACHE_HOME: join(home, 'cache'),
  };
  const settings = () => hubSettings({ ...environment, HF_TOKEN: hub.token }, home);
  return {
    hub,
    environment,
    cache: join(home, 'hf/hub'),
    pull: (name, variant) => modelPath(name, { settings: settings(), variant, pause: 1 }),
  };
}

const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

test('a diffusers repository: each part once, safetensors, in Python’s layout; kept the next time', async (t) => {
  const { hub, cache, pull } = await setUp(t);
  const path = await pull('org/model');
  const folder = join(cache, 'models--org--model');
  assert.equal(path, join(folder, 'snapshots', commit));
  assert.deepEqual(filesOf(path), [
    'model_index.json',
    'scheduler/scheduler_config.json',
    'tokenizer/merges.txt',
    'unet/config.json',
    'unet/diffusion_pytorch_model.safetensors',
    'vae/config.json',
    'vae/diffusion_pytorch_model.safetensors',
  ]);
  assert.equal(readFileSync(join(folder, 'refs/main'), 'utf8'), commit);
  assert.equal(
    readlinkSync(join(path, 'unet/diffusion_pytorch_model.safetensors')),
    join('../../../blobs', etagOf(big)),
  );
  assert.equal(digest(join(path, 'unet/diffusion_pytorch_model.safetensors')), etagOf(big));
  assert.ok(!filesOf(folder).some((name) => /incomplete|lock|tmp/.test(name)));
  const before = hub.requests.filter((request) => request.includes('/resolve/')).length;
  assert.equal(await pull('hf:org/model'), path);
  assert.equal(hub.requests.filter((request) => request.includes('/resolve/')).length, before);
});

test('a variant is taken where a part has it', async (t) => {
  const { pull } = await setUp(t);
  const names = filesOf(await pull('org/model', 'fp16'));
  assert.ok(names.includes('unet/diffusion_pytorch_model.fp16.safetensors'));
  assert.ok(names.includes('vae/diffusion_pytorch_model.safetensors'));
  assert.ok(!names.includes('unet/diffusion_pytorch_model.safetensors'));
});

test('a single checkpoint: safetensors before ckpt, with its YAML; several must be named; a file by its name', async (t) => {
  const { cache, pull } = await setUp(t);
  const snapshot = join(cache, 'models--org--single/snapshots', commit);
  assert.equal(await pull('org/single'), join(snapshot, 'a.safetensors'));
  assert.deepEqual(filesOf(snapshot), ['a.safetensors', 'a.yaml']);
  assert.equal(await pull('hf:org/single@main/sub/b.safetensors'), join(snapshot, 'sub/b.safetensors'));
  await assert.rejects(pull('org/two'), {
    code: 'invalid-argument',
    message: /a\.safetensors.*b\.safetensors.*hf:org\/two\/a/,
  });
  await assert.rejects(pull('hf:org/single/no.safetensors'), { code: 'not-found' });
  await assert.rejects(pull('org/nothing'), { code: 'not-found', message: /not a file or folder here/ });
});

test('a connection that breaks is resumed from where it was', async (t) => {
  const { hub, pull } = await setUp(t);
  hub.breaks.push(Infinity, 1_000_000, 500_000);
  const path = await pull('hf:org/model/unet');
  assert.equal(digest(join(path, 'diffusion_pytorch_model.safetensors')), etagOf(big));
  const ranges = hub.requests.filter((request) => request.startsWith('GET /cdn/') && request.includes('bytes='));
  assert.ok(ranges.length >= 1, hub.requests.join('\n'));
});

test('damaged bytes are found by the digest, and not kept', async (t) => {
  const { hub, cache, pull } = await setUp(t);
  hub.damaged = true;
  await assert.rejects(pull('hf:org/model/model.safetensors'), { code: 'file-corrupt', message: /digest/ });
  assert.deepEqual(filesOf(join(cache, 'models--org--model')), []);
  hub.damaged = false;
  assert.ok(existsSync(await pull('hf:org/model/model.safetensors')));
});

test('a page in the place of a file is refused, and not kept', async (t) => {
  const { environment } = await setUp(t);
  const answers: Record<string, Response> = {
    '/x.safetensors': new Response('<!doctype html>', { headers: { 'content-type': 'text/html' } }),
    '/y.pt': new Response(bytes(10, 1) as Uint8Array<ArrayBuffer>),
    '/y.yaml': new Response('model: {}', { headers: { 'content-type': 'text/yaml' } }),
  };
  const fetch = async (url: string | URL | Request) =>
    answers[new URL(String(url)).pathname] ?? new Response('', { status: 404 });
  const settings = { ...hubSettings(environment, '/nowhere'), fetch };
  await assert.rejects(modelPath('https://example.org/x.safetensors', { settings }), {
    code: 'not-found',
    message: /HTML page/,
  });
  answers['/x.safetensors'] = new Response(bytes(10, 1) as Uint8Array<ArrayBuffer>);
  const kept = await modelPath('https://example.org/x.safetensors', { settings });
  assert.equal(readFileSync(kept).length, 10);
  const other = await modelPath('https://example.org/y.pt', { settings });
  assert.equal(readFileSync(other.replace(/\.pt$/, '.yaml'), 'utf8'), 'model: {}');
});

test('a token goes to the hub; without one the error says what is needed', async (t) => {
  const { hub, pull } = await setUp(t);
  hub.token = 'secret';
  assert.ok(existsSync(await pull('hf:org/model/model.safetensors')));
  const { environment } = await setUp(t);
  const settings = hubSettings({ ...environment, HF_ENDPOINT: hub.address }, '/nowhere');
  await assert.rejects(modelPath('org/model', { settings }), { code: 'forbidden', message: /HF_TOKEN/ });
});

test('offline, and where the hub is away, what is kept serves', async (t) => {
  const { hub, environment, pull } = await setUp(t);
  const path = await pull('org/model');
  const offline = hubSettings({ ...environment, HF_HUB_OFFLINE: '1' }, '/nowhere');
  const before = hub.requests.length;
  assert.equal(await modelPath('org/model', { settings: offline }), path);
  await assert.rejects(modelPath('org/single', { settings: offline }), {
    code: 'not-found',
    message: /HF_HUB_OFFLINE/,
  });
  assert.equal(hub.requests.length, before);
  const away = hubSettings({ ...environment, HF_ENDPOINT: 'http://127.0.0.1:9' }, '/nowhere');
  assert.equal(await modelPath('org/model', { settings: away }), path);
  await assert.rejects(modelPath('org/single', { settings: away }), { code: 'network' });
});

test('what Python downloaded is used without a byte', async (t) => {
  const { hub, cache, environment } = await setUp(t);
  const folder = join(cache, 'models--py--thing');
  for (const name of ['refs', 'blobs', `snapshots/${commit}`]) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, 'refs/main'), commit);
  writeFileSync(join(folder, 'blobs/abc'), 'weights');
  symlinkSync('../../blobs/abc', join(folder, 'snapshots', commit, 'x.safetensors'));
  const settings = hubSettings({ ...environment, HF_HUB_OFFLINE: '1' }, '/nowhere');
  assert.equal(await modelPath('py/thing', { settings }), join(folder, 'snapshots', commit, 'x.safetensors'));
  assert.deepEqual(hub.requests, []);
  assert.deepEqual(
    (await keptModels(cache)).map(({ repository, bytes: size }) => [repository, size]),
    [['py/thing', 7]],
  );
  assert.equal(await removeKept(cache, 'py/thing'), 7);
  assert.ok(!existsSync(folder));
});

const python = spawnSync('python3', ['-c', 'import huggingface_hub']).status === 0;

test('Python’s huggingface_hub finds what was downloaded here', {
  skip: !python && 'huggingface_hub is not installed',
}, async (t) => {
  const { environment, cache, pull } = await setUp(t);
  const path = await pull('org/model');
  const script = `
import json, sys
from huggingface_hub import scan_cache_dir, snapshot_download, hf_hub_download
info = scan_cache_dir(sys.argv[1])
print(json.dumps({'warnings': len(info.warnings), 'repos': [r.repo_id for r in info.repos], 'snapshot': snapshot_download('org/model', local_files_only=True), 'file': hf_hub_download('org/model', 'unet/config.json', local_files_only=True)}))`;
  const run = spawnSync('python3', ['-c', script, cache], {
    env: { ...process.env, ...environment, HF_HUB_OFFLINE: '1' },
  });
  assert.equal(run.status, 0, String(run.stderr));
  assert.deepEqual(JSON.parse(String(run.stdout)), {
    warnings: 0,
    repos: ['org/model'],
    snapshot: path,
    file: join(path, 'unet/config.json'),
  });
});

test('killed at any moment, a download is resumed to the same bytes; two at once take turns', async (t) => {
  const { hub, environment, cache } = await setUp(t);
  hub.slow = 15;
  const start = () =>
    spawn(process.execPath, [...sdWords, 'pull', 'hf:org/model/unet', '--quiet'], {
      env: { ...process.env, ...environment },
    });
  const partial = join(cache, 'models--org--model/blobs', `${etagOf(big)}.sd.incomplete`);
  for (let kill = 0; kill < 2; kill++) {
    const child = start();
    const ended = new Promise((resolve) => child.on('close', resolve));
    const size = existsSync(partial) ? readFileSync(partial).length : 0;
    while (child.exitCode === null && (!existsSync(partial) || readFileSync(partial).length <= size))
      await new Promise((resolve) => setTimeout(resolve, 10));
    child.kill('SIGKILL');
    await ended;
  }
  hub.slow = 0;
  const codes = await Promise.all(
    [start(), start()].map((child) => new Promise((resolve) => child.on('close', resolve))),
  );
  assert.deepEqual(codes, [0, 0]);
  const path = join(cache, 'models--org--model/snapshots', commit, 'unet/diffusion_pytorch_model.safetensors');
  assert.equal(digest(path), etagOf(big));
  assert.ok(hub.requests.some((request) => /cdn.*diffusion.*bytes=[1-9]/.test(request)));
});

test('sd pull, sd models, sd rm', async (t) => {
  const { environment } = await setUp(t);
  const pulled = await sd(['pull', 'org/single'], { environment });
  assert.equal(pulled.code, 0, pulled.err);
  assert.match(pulled.err, /Downloading org\/single \(0\.0 MB\)/);
  assert.match(pulled.out, /a\.safetensors\n$/);
  assert.match((await sd(['models'], { environment })).out, /org\/single {2}main/);
  assert.match((await sd(['rm', 'org/single'], { environment })).out, /removed/);
  assert.match((await sd(['models'], { environment })).out, /No models/);
  assert.match((await sd(['models', '--known'], { environment })).out, /sd-v1-5 .*4\.27 GB, CreativeML/);
  assert.equal((await sd(['pull', './x.safetensors'], { environment })).code, 2);
});
