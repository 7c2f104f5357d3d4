/** Hostile requests: each is refused for what it is, reads nothing of the machine, and leaves the server as it was. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { defaultLimits } from '../../src/server/limits.ts';
import { base64Png, startTestServer, type TestServer, testImage } from './start.ts';
import { key, limits, small, raw, type SecurityServers, startSecurityServers } from './security-setup.ts';

let servers: SecurityServers;
let server: TestServer;
let keyed: TestServer;

before(async () => {
  servers = await startSecurityServers();
  ({ server, keyed } = servers);
});
after(() => servers.stop());

const alive = async (): Promise<void> => assert.equal((await server.json('GET', '/readyz')).status, 200);

// --- files of the machine ---

const paths = [
  '../secret.txt',
  '../../../../../../etc/passwd',
  '/etc/passwd',
  '..\\..\\etc\\passwd',
  '%2e%2e%2fsecret.txt',
  '..%2f..%2f..%2fetc%2fpasswd',
  '....//....//etc/passwd',
  'pocket/../../etc/passwd',
  'pocket.safetensors\0.png',
  '/proc/self/environ',
  'file:///etc/passwd',
  '~/.ssh/id_rsa',
];

test('no field names a file', async () => {
  const refused = async (path: string, body: object): Promise<void> => {
    const { status, body: answer } = await server.json('POST', path, body);
    assert.ok(status >= 400 && status < 500, `${path} ${JSON.stringify(body)}: ${status}`);
    assert.equal(/root:|daemon/.test(JSON.stringify(answer)), false);
  };
  for (const name of paths) {
    await refused('/api/v1/jobs', { ...small, model: name });
    await refused('/v1/images/generations', { prompt: 'x', model: name });
    await refused('/sdapi/v1/txt2img', { ...small, override_settings: { sd_model_checkpoint: name } });
    await refused('/sdapi/v1/options', { sd_model_checkpoint: name });
    await refused('/sdapi/v1/img2img', { ...small, init_images: [name] });
    await refused('/sdapi/v1/png-info', { image: name });
    await refused('/api/v1/pictures', { image: name });
    await refused('/api/v1/jobs', { ...small, task: 'img2img', image: name });
    await refused('/sdapi/v1/extra-single-image', { image: name, upscaler_1: 'Lanczos' });
    await refused('/sdapi/v1/txt2img', { ...small, enable_hr: true, hr_upscaler: name });
  }
});

test('no path of a URL leads out of the page and the store', async () => {
  for (const path of paths) {
    for (const begin of ['/', '/assets/', '/api/v1/results/', '/api/v1/jobs/', '/v1/models/', '/static/../', '/./']) {
      const answer = await raw(
        server.url,
        `GET ${begin}${path.replaceAll('\0', '%00').replaceAll(' ', '%20')} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
      );
      assert.match(answer, /^HTTP\/1.1 4\d\d/, begin + path);
      assert.equal(/root:|daemon/.test(answer), false, begin + path);
    }
  }
  await alive();
});

test('callers do not see or touch the jobs of others', async () => {
  const two = await startTestServer({
    keys: [
      { name: 'alice', secret: key },
      { name: 'bob', secret: 'a-secret-of-bob' },
    ],
  });
  const [alice, bob] = [{ authorization: `Bearer ${key}` }, { authorization: 'Bearer a-secret-of-bob' }];
  const { body: job } = (await two.json('POST', '/api/v1/jobs', { ...small, steps: 50 }, alice)) as {
    body: { id: string };
  };
  for (const [method, path] of [
    ['GET', ''],
    ['DELETE', ''],
    ['POST', '/interrupt'],
    ['GET', '/events'],
  ] as const) {
    assert.equal((await two.json(method, `/api/v1/jobs/${job.id}${path}`, undefined, bob)).status, 404, method + path);
    assert.equal((await two.json(method, `/api/v1/jobs/${job.id}${path}`)).status, 401, method + path);
  }
  assert.deepEqual((await two.json('GET', '/api/v1/jobs', undefined, bob)).body, { jobs: [], next: null });
  // The same Idempotency-Key of another caller is another job.
  const mine = (await two.json('POST', '/api/v1/jobs', small, { ...alice, 'idempotency-key': 'k' })) as {
    body: { id: string };
  };
  const others = (await two.json('POST', '/api/v1/jobs', small, { ...bob, 'idempotency-key': 'k' })) as {
    body: { id: string };
  };
  assert.notEqual(mine.body.id, others.body.id);
  await two.json('POST', '/sdapi/v1/interrupt', undefined, bob);
  assert.equal(
    ((await two.json('GET', `/api/v1/jobs/${job.id}`, undefined, alice)).body as { state: string }).state ===
      'cancelled',
    false,
  );
  await two.stop(0);
});

// --- too much ---

test('a body that is too large is refused, told or not', async () => {
  const long = 'x'.repeat(limits.bodyBytes + 1);
  assert.equal((await server.json('POST', '/sdapi/v1/txt2img', { prompt: long })).status, 413);
  const claimed = await raw(
    server.url,
    `POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{`,
  );
  assert.match(claimed, /^HTTP\/1.1 413/);
  const chunked = await raw(
    server.url,
    `POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${(limits.bodyBytes + 10).toString(16)}\r\n${' '.repeat(limits.bodyBytes + 10)}\r\n0\r\n\r\n`,
  );
  assert.match(chunked, /^(HTTP\/1.1 413|$)/);
  const form = new FormData();
  form.append('image', new Blob([new Uint8Array(limits.bodyBytes + 1)]), 'a.png');
  assert.equal((await fetch(`${server.url}/api/v1/pictures`, { method: 'POST', body: form })).status, 413);
  await alive();
});

test('a stranger is refused before the body is read', async () => {
  const answer = await raw(
    keyed.url,
    'POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n',
  );
  assert.match(answer, /^HTTP\/1.1 401/);
});

test('work that is too much is refused by its numbers', async () => {
  const refused = async (path: string, body: object): Promise<void> => {
    const { status } = await server.json('POST', path, body);
    assert.ok(status === 422 || status === 400 || status === 413, `${path} ${JSON.stringify(body)}: ${status}`);
  };
  for (const body of [
    { steps: defaultLimits.steps + 1 },
    { width: 65536, height: 65536 },
    { batchSize: 33 },
    { iterations: 1e9 },
    { batchSize: 8, iterations: 8 },
    { prompt: 'x'.repeat(10_001) },
    { width: 0 },
    { width: 64.5 },
    { seed: 2 ** 65 },
    { guidanceScale: 1e9 },
    { previews: 1000 },
  ])
    await refused('/api/v1/jobs', { ...small, ...body });
  for (const body of [{ n: 11 }, { size: '99999x99999' }, { size: '0x0' }, { steps: 1e9 }, { partial_images: 9 }])
    await refused('/v1/images/generations', { prompt: 'x', ...body });
  for (const body of [
    { enable_hr: true, hr_scale: 1e6 },
    { enable_hr: true, hr_resize_x: 99999, hr_resize_y: 99999 },
    { subseed_strength: 9 },
    { batch_size: -1 },
    { n_iter: 0 },
    { eta: 1e308 },
    { s_noise: 1e300 },
    { s_churn: 1e300 },
    { seed_resize_from_w: 1e9, seed_resize_from_h: 1e9 },
    { infotext: 'x\nSteps: 5, Sampler: Euler, Seed: 1, Denoising strength: 9, Hires upscale: 2' },
  ])
    await refused('/sdapi/v1/txt2img', { ...small, ...body });
  const image = await base64Png(testImage(64, 64));
  for (const body of [
    { upscaling_resize: 1e6 },
    { upscaling_resize: -1 },
    { resize_mode: 1, upscaling_resize_w: 1e6, upscaling_resize_h: 1e6 },
    { resize_mode: 7 },
  ])
    await refused('/sdapi/v1/extra-single-image', { image, upscaler_1: 'Lanczos', ...body });
  for (const body of [{ mask_blur: 1e9 }, { inpaint_full_res_padding: 1e9 }, { denoising_strength: 7 }])
    await refused('/sdapi/v1/img2img', { ...small, init_images: [image], mask: image, ...body });
});

test('a caller that sends slowly, or not at all, is let go', async () => {
  // Ended by the server, within the limit and its checks; nothing here says how long that is.
  const answers = await Promise.all([
    raw(server.url, ''),
    raw(server.url, 'GET / HTTP/1.1\r\nHost: lo'),
    raw(
      server.url,
      'POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
    ),
  ]);
  for (const answer of answers) assert.match(answer, /^(HTTP\/1.1 408|$)/);
  await alive();
});

test('what is no HTTP is answered as such', async () => {
  for (const text of [
    '\0\0\0\0',
    'GET\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: localhost\r\n${'X: yyyyyyyyyyyyyyyy\r\n'.repeat(2000)}\r\n`,
    'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nx',
    'GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n',
  ]) {
    assert.match(await raw(server.url, text), /^(HTTP\/1.1 4\d\d|$)/, text.slice(0, 40));
  }
  await alive();
});
