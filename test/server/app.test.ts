/** Who may ask what: keys, origins, limits, names that are no paths, URLs that are not fetched. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { routes } from '../../src/server/routes/index.ts';
import { raw } from './raw-request.ts';
import { base64Png, startTestServer, type TestServer, testImage } from './start.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-app-'));
let server: TestServer;
let guarded: TestServer;
const bob = { authorization: 'Bearer a-secret-of-bob' };
before(async () => {
  const web = join(folder, 'web');
  mkdirSync(join(web, 'assets'), { recursive: true });
  writeFileSync(join(web, 'index.html'), '<!doctype html><title>The page</title>');
  writeFileSync(join(web, 'assets', 'a.js'), 'export {};');
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  server = await startTestServer({ webFolder: web });
  guarded = await startTestServer({
    keys: [
      { name: 'alice', secret: 'a-secret-of-alice' },
      { name: 'bob', secret: 'a-secret-of-bob' },
    ],
    corsOrigins: ['https://page.example'],
    limits: {
      bodyBytes: 200_000,
      pixels: 128 * 128,
      inputPixels: 256 * 256,
      steps: 100,
      pictures: 4,
      queueLength: 2,
      queuePerCaller: 2,
      // Every route is asked without a key.
      failedKeysPerMinute: 1000,
    },
    policy: { fetchUrls: true },
  });
});
after(async () => {
  await server.stop();
  await guarded.stop();
  rmSync(folder, { recursive: true, force: true });
});

const small = { prompt: 'a red apple', width: 64, height: 64, steps: 2 };
test('a server that others can reach wants keys', async () => {
  for (const host of ['0.0.0.0', '::', '127.evil.example'])
    await assert.rejects(startTestServer({ host }), { code: 'invalid-argument' });
});

test('without a key nothing is answered but health and the page; each API says so in its own words', async () => {
  for (const { method, path, flavour, open = false } of routes) {
    const { status, body } = await raw(guarded.url, {}, path.replace(/:\w+/g, 'a'), method);
    assert.equal(status, open ? 200 : 401, `${method} ${path}`);
    if (open) continue;
    const answer = JSON.parse(body) as { detail?: string; error: { code: string; type: string } };
    if (flavour === 'comfyui') assert.equal(answer.error.type, 'forbidden');
    else if (/^\/(sdapi|internal|controlnet)/.test(path)) assert.match(answer.detail ?? '', /API key/);
    else if (path.startsWith('/v1beta')) assert.match(body, /"UNAUTHENTICATED"/);
    else assert.ok(['invalid_api_key', 'forbidden'].includes(answer.error.code), body);
  }
});

test('a key is sent as Bearer, Basic or X-API-Key', async () => {
  const basic = (user: string, password: string): string =>
    `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  for (const headers of [
    bob,
    { authorization: basic('anybody', 'a-secret-of-bob') },
    { 'x-api-key': 'a-secret-of-bob' },
  ] as Record<string, string>[]) {
    assert.equal((await guarded.json('GET', '/sdapi/v1/options', undefined, headers)).status, 200);
  }
  for (const headers of [
    { authorization: 'Bearer a-secret' },
    { authorization: basic('bob', '') },
    { 'x-api-key': '' },
  ] as Record<string, string>[]) {
    assert.equal((await guarded.json('GET', '/sdapi/v1/options', undefined, headers)).status, 401);
  }
});

test("one caller does not see or change what is another's", async () => {
  const alice = { 'x-api-key': 'a-secret-of-alice' };
  await guarded.json('POST', '/sdapi/v1/options', { CLIP_stop_at_last_layers: 3 }, alice);
  const clip = async (headers: Record<string, string>): Promise<unknown> =>
    ((await guarded.json('GET', '/sdapi/v1/options', undefined, headers)).body as Record<string, unknown>)[
      'CLIP_stop_at_last_layers'
    ];
  assert.deepEqual([await clip(alice), await clip(bob)], [3, 1]);
});

test('strange pages and strange names of this machine are kept out', async () => {
  const { host } = new URL(server.url);
  assert.equal((await raw(server.url, { host })).status, 200);
  assert.equal((await raw(server.url, { host: 'rebound.example' })).status, 403);
  assert.equal((await raw(server.url, { host, origin: `http://${host}` })).status, 200, 'its own page');
  for (const origin of ['https://evil.example', 'null', `https://${host}`.replace('127.0.0.1', 'localhost')])
    assert.equal((await raw(server.url, { host, origin })).status, 403, origin);
  const { status, headers } = await raw(
    server.url,
    { host, origin: 'https://evil.example', 'access-control-request-method': 'POST' },
    '/sdapi/v1/txt2img',
    'OPTIONS',
  );
  assert.ok(status >= 400);
  assert.equal(headers['access-control-allow-origin'], undefined, 'no CORS unless asked for');
  const allowed = await raw(
    guarded.url,
    { origin: 'https://page.example', 'access-control-request-method': 'POST' },
    '/v1/images/generations',
    'OPTIONS',
  );
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers['access-control-allow-origin'], 'https://page.example');
  assert.match(String(allowed.headers['access-control-allow-methods']), /DELETE/, 'a page may cancel its jobs');
  assert.equal(
    (await raw(guarded.url, { origin: 'https://other.example', 'x-api-key': 'a-secret-of-bob' }, '/v1/models')).status,
    403,
  );
});

test('more than the operator allows is refused before it costs anything', async () => {
  const refused = async (path: string, body: unknown, status: number): Promise<void> =>
    assert.equal((await guarded.json('POST', path, body, bob)).status, status, JSON.stringify(body).slice(0, 100));
  await refused('/api/v1/jobs', { ...small, prompt: 'x'.repeat(300_000) }, 413);
  await refused('/sdapi/v1/txt2img', { ...small, prompt: 'x'.repeat(300_000) }, 413);
  await refused('/api/v1/jobs', { ...small, width: 256, height: 128 }, 422);
  await refused('/api/v1/jobs', { ...small, steps: 101 }, 422);
  await refused('/api/v1/jobs', { ...small, batchSize: 2, iterations: 3 }, 422);
  await refused('/v1/images/generations', { prompt: 'x', n: 5 }, 400);
  await refused('/sdapi/v1/txt2img', { ...small, enable_hr: true, hr_scale: 4 }, 422);
  const large = await base64Png(testImage(300, 300));
  await refused('/api/v1/pictures', { image: large }, 413);
  await refused(
    '/sdapi/v1/extra-single-image',
    { image: await base64Png(testImage(64, 64)), upscaler_1: 'Lanczos', upscaling_resize: 8 },
    422,
  );
});

test('metrics: what was made, and how much of the time the networks were at work', async () => {
  const read = async (name: string): Promise<number> =>
    Number(new RegExp(`^${name} (\\S+)`, 'm').exec((await raw(guarded.url, bob, '/metrics')).body)?.[1]);
  const names = ['sd_pictures_total', 'sd_job_seconds_sum', 'sd_sampling_seconds_total'] as const;
  const before = await Promise.all(names.map(read));
  assert.equal((await guarded.json('POST', '/sdapi/v1/txt2img', { ...small, batch_size: 2 }, bob)).status, 200);
  const [pictures = 0, jobs = 0, sampling = 0] = (await Promise.all(names.map(read))).map(
    (value, i) => value - (before[i] ?? 0),
  );
  assert.equal(pictures, 2);
  assert.ok(sampling > 0 && sampling <= jobs + 0.002, `${sampling} of ${jobs} s`);
});

test('a full queue: 429 for a caller with its share, 503 for all, with Retry-After', async () => {
  const alice = { 'x-api-key': 'a-secret-of-alice' };
  const post = (headers: Record<string, string>, steps: number, path = '/api/v1/jobs') =>
    guarded.json(
      'POST',
      path,
      { ...small, ...(path.startsWith('/v1/') ? { n: 4 } : { iterations: 4 }), steps },
      headers,
    );
  const ids: { readonly id: string; readonly headers: Record<string, string> }[] = [];
  const accept = async (headers: Record<string, string>, steps: number): Promise<void> => {
    const { status, body } = await post(headers, steps);
    assert.equal(status, 202);
    ids.push({ id: (body as { id: string }).id, headers });
  };
  const refuse = async (headers: Record<string, string>, status: number): Promise<void> => {
    for (const path of ['/api/v1/jobs', '/sdapi/v1/txt2img', '/v1/images/generations']) {
      const answer = await post(headers, 96, path);
      assert.equal(answer.status, status, path);
      const wait = Number(answer.headers.get('retry-after'));
      assert.ok(wait >= 1 && wait <= 60);
    }
  };
  const untilRunning = async (headers: Record<string, string>): Promise<void> => {
    const path = `/api/v1/jobs/${ids.at(-1)?.id}`;
    while (((await guarded.json('GET', path, undefined, headers)).body as { state: string }).state !== 'running')
      await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await accept(bob, 100);
  await untilRunning(bob);
  await accept(bob, 99);
  await refuse(bob, 429);
  // Another caller's job takes turns with the first.
  await accept(alice, 98);
  await untilRunning(alice);
  await accept(alice, 97);
  await refuse(alice, 503);
  assert.match((await raw(guarded.url, bob, '/metrics')).body, /sd_jobs_refused_total\{reason="caller"\} 3/);
  for (const { id, headers } of ids.reverse()) await guarded.json('DELETE', `/api/v1/jobs/${id}`, undefined, headers);
});

test('no field is a path', async () => {
  const secret = join(folder, 'secret.txt');
  for (const name of [
    secret,
    '../../../etc/passwd',
    'file:///etc/passwd',
    '/etc/passwd\0.png',
    '..\\..\\secret',
    'pocket/../pocket.safetensors',
  ]) {
    for (const [path, body] of [
      ['/sdapi/v1/img2img', { ...small, init_images: [name] }],
      ['/sdapi/v1/img2img', { ...small, init_images: [await base64Png(testImage(64, 64))], mask: name }],
      ['/sdapi/v1/png-info', { image: name }],
      ['/sdapi/v1/extra-single-image', { image: name }],
      ['/sdapi/v1/options', { sd_model_checkpoint: name }],
      ['/sdapi/v1/txt2img', { ...small, override_settings: { sd_model_checkpoint: name } }],
      ['/api/v1/jobs', { ...small, model: name }],
      ['/api/v1/jobs', { ...small, task: 'img2img', image: name }],
      ['/api/v1/pictures', { image: name }],
      ['/v1/images/generations', { prompt: 'x', model: name }],
      ['/v1/images/edits', { prompt: 'x', image: name }],
    ] as const) {
      const { status, body: answer } = await server.json('POST', path, body);
      assert.ok(status >= 400 && status < 500, `${path} ${name}: ${status}`);
      assert.doesNotMatch(JSON.stringify(answer), /root:|"secret"/);
    }
    assert.equal((await raw(server.url, {}, `/api/v1/results/${encodeURIComponent(name)}`)).status, 422);
    assert.equal((await raw(server.url, {}, `/v1/models/${encodeURIComponent(name)}`)).status, 404);
  }
  for (const path of [
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/assets/../../secret.txt',
    '//etc/passwd',
    '/.git/config',
  ]) {
    const { status, body } = await raw(server.url, {}, path);
    assert.ok(status === 403 || status === 404, path);
    assert.notEqual(body, 'secret');
  }
});

test('answers tell no folder of the machine', async () => {
  const texts: string[] = [];
  for (const { method, path } of routes)
    if (method === 'GET' && !path.includes(':') && path !== '/metrics')
      texts.push((await raw(server.url, {}, path)).body);
  const { body } = await server.json('POST', '/sdapi/v1/txt2img', small);
  texts.push(
    JSON.stringify(body),
    Buffer.from((body as { images: string[] }).images[0] ?? '', 'base64').toString('latin1'),
  );
  for (const text of texts) assert.doesNotMatch(text, /\/home\/|\/root\/|\/tmp\/|\/models\/pocket/);
});

test('URLs are fetched only where the operator allows it, and never from private addresses', async () => {
  const body = (url: string) => ({ ...small, init_images: [url] });
  assert.equal((await server.json('POST', '/sdapi/v1/img2img', body('https://example.org/a.png'))).status, 403);
  for (const url of [
    `${guarded.url}/healthz`,
    'http://localhost/a.png',
    'http://169.254.169.254/latest/meta-data',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://0x7f.1/',
    'http://2130706433/',
    'http://user:pw@example.org/',
  ]) {
    assert.equal((await guarded.json('POST', '/sdapi/v1/img2img', body(url), bob)).status, 403, url);
  }
});

test('without a page, a word', async () => {
  assert.match((await raw(guarded.url, {}, '/')).body, /openapi\.json/);
});
