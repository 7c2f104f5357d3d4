/** What a server says of itself: the page, health and metrics, the document of its routes; and what it keeps when it shuts down. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { routes } from '../../src/server/routes/index.ts';
import { raw } from './raw-request.ts';
import { startTestServer, type TestServer } from './start.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-page-and-document-'));
const small = { prompt: 'a red apple', width: 64, height: 64, steps: 2 };
let server: TestServer;
before(async () => {
  const web = join(folder, 'web');
  mkdirSync(join(web, 'assets'), { recursive: true });
  writeFileSync(join(web, 'index.html'), '<!doctype html><title>The page</title>');
  writeFileSync(join(web, 'assets', 'a.js'), 'export {};');
  server = await startTestServer({ webFolder: web });
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('the page is served with what threads of WebAssembly need', async () => {
  const { status, headers, body } = await raw(server.url, {}, '/');
  assert.equal(status, 200);
  assert.match(body, /The page/);
  assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
  assert.equal(headers['cross-origin-embedder-policy'], 'require-corp');
  assert.match(String((await raw(server.url, {}, '/assets/a.js')).headers['content-type']), /javascript/);
  for (const [path, type] of [
    ['/models/pocket.yaml', /yaml|text|octet/],
    ['/models/pocket.safetensors', /octet/],
    ['/ort/ort-wasm-simd-threaded.wasm', /^application\/wasm/],
    ['/ort/ort-wasm-simd-threaded.mjs', /javascript/],
    ['/ort/ort-wasm-simd-threaded.asyncify.wasm', /wasm/],
    ['/ort/ort-wasm-simd-threaded.asyncify.mjs', /javascript/],
  ] as const) {
    const part = await raw(server.url, { range: 'bytes=0-9' }, path);
    assert.equal(part.status, 206, `${path}, which the build has not, comes from the package`);
    assert.equal(part.headers['content-length'], '10');
    assert.match(String(part.headers['content-type']), type, path);
    assert.equal(part.headers['cross-origin-embedder-policy'], 'require-corp');
  }
  writeFileSync(join(folder, 'web', '.hidden'), 'secret');
  for (const path of ['/.hidden', '/models/README.md', '/ort/ort.js'])
    assert.equal((await raw(server.url, {}, path)).status, 404, path);
});

test('health, readiness and metrics', async () => {
  assert.equal((await server.json('POST', '/sdapi/v1/txt2img', small)).status, 200);
  assert.deepEqual((await server.json('GET', '/healthz')).body, { status: 'ok' });
  assert.deepEqual((await server.json('GET', '/readyz')).body, { status: 'ready' });
  const { body, headers } = await raw(server.url, {}, '/metrics');
  assert.match(String(headers['content-type']), /^text\/plain/);
  for (const line of [
    /^sd_jobs\{state="queued"\} 0$/m,
    /^sd_jobs_finished_total\{outcome="done"\} [1-9]/m,
    /^sd_pictures_total [1-9]/m,
    /^sd_http_request_seconds_count\{method="GET",route="\/healthz",status="200"\}/m,
    /^process_resident_memory_bytes/m,
  ])
    assert.match(body, line);
  assert.doesNotMatch(body, /route="\/api\/v1\/results\/%2F/, 'no label for each request');
});

test('the document describes every route', async () => {
  const { body } = await server.json('GET', '/openapi.json');
  const document = body as {
    openapi: string;
    paths: Record<
      string,
      Record<
        string,
        { operationId: string; responses: object; parameters?: { name: string; in: string; required: boolean }[] }
      >
    >;
  };
  assert.equal(document.openapi, '3.1.0');
  const ids = new Set<string>();
  for (const { method, path } of routes.filter(({ alias }) => !alias)) {
    const operation = document.paths[path.replace(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()];
    assert.ok(operation, `${method} ${path}`);
    assert.ok(Object.keys(operation.responses).length >= 2);
    ids.add(operation.operationId);
    for (const [, name] of path.matchAll(/:(\w+)/g))
      assert.ok(
        operation.parameters?.some(
          (parameter) => parameter.name === name && parameter.in === 'path' && parameter.required,
        ),
        path,
      );
  }
  assert.equal(ids.size, routes.filter(({ alias }) => !alias).length, 'every operation has an id of its own');
  const validator = spawnSync(
    'python3',
    ['-c', 'import sys, json\nfrom openapi_spec_validator import validate\nvalidate(json.load(sys.stdin))'],
    { input: JSON.stringify(body) },
  );
  if (!/ModuleNotFoundError|ENOENT/.test(`${validator.stderr} ${validator.error}`))
    assert.equal(validator.status, 0, String(validator.stderr));
});

test('at shutdown what runs is finished, what waits is kept and made at the next start', async () => {
  const dataFolder = join(folder, 'kept');
  const first = await startTestServer({ dataFolder });
  const [runs, waits] = await Promise.all(
    [30, 3].map(
      async (steps) => (await first.json('POST', '/api/v1/jobs', { ...small, steps })).body as { id: string },
    ),
  );
  assert.ok(runs && waits);
  const state = async (of: TestServer, id: string): Promise<string> =>
    ((await of.json('GET', `/api/v1/jobs/${id}`)).body as { state: string }).state;
  while ((await state(first, runs.id)) === 'queued') await new Promise((resolve) => setTimeout(resolve, 5));
  const waiting = first.json('POST', '/sdapi/v1/txt2img', { ...small, steps: 4 }).catch((error: unknown) => error);
  const list = async () => (await first.json('GET', '/api/v1/jobs?limit=10')).body as { jobs: readonly unknown[] };
  while ((await list()).jobs.length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  await first.stop();
  const told = (await waiting) as { status?: number };
  assert.equal(told.status, 503, 'who waits is told');
  const second = await startTestServer({ dataFolder });
  assert.equal(await state(second, runs.id), 'done');
  while (['queued', 'running'].includes(await state(second, waits.id)))
    await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await state(second, waits.id), 'done');
  await second.stop();
});
