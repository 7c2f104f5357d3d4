/** What a hostile caller sends: each is refused in a moment, before work is spent on it, and others are answered meanwhile. */

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect } from 'node:net';
import test, { after, before } from 'node:test';
import { hasMoreValues } from '../../src/server/admission/count-values.ts';
import { alice, bob, keys } from './callers.ts';
import { startTestServer, type TestServer } from './start.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer({
    keys,
    limits: { bytesInFlightPerCaller: 3_000_000, eventStreamsPerCaller: 2, jobWork: 2 ** 30, pipelined: 16 },
  });
});
after(() => server.stop());

test('a million digits and a letter are no number', async () => {
  const { status, body } = await server.json(
    'POST',
    '/sdapi/v1/txt2img',
    { cfg_scale: `${'1'.repeat(900_000)}x` },
    alice,
  );
  assert.equal(status, 422);
  assert.match(JSON.stringify(body), /cfg_scale/);
});

test('numbers are read from text as Python reads them', async () => {
  for (const [value, expected] of [
    [' 7.5 ', 200],
    ['7.', 200],
    ['.5', 200],
    ['1e1', 200],
    ['7.5x', 422],
    ['', 422],
    ['e5', 422],
  ] as const) {
    const body = { cfg_scale: value, steps: 1, width: 64, height: 64, seed: 1 };
    assert.equal((await server.json('POST', '/sdapi/v1/txt2img', body, alice)).status, expected, value);
  }
});

test('a settings text that is too long is refused', async () => {
  const { status, body } = await server.json('POST', '/sdapi/v1/txt2img', { infotext: ' '.repeat(70_000) }, alice);
  assert.equal(status, 422);
  assert.match(JSON.stringify(body), /at most 65536 characters/);
});

test('values of a body are counted before it is parsed', async () => {
  const count = (json: string): number => {
    let most = 0;
    while (hasMoreValues(Buffer.from(json), most)) most++;
    return most;
  };
  assert.equal(count('[1,2,3]'), 4);
  assert.equal(count('{"a,b":"\\",,,","c":[]}'), 4);
  assert.equal(count('"\\\\\\\\",1'), 2);
  const list = `{"init_images":[${'1,'.repeat(400_000)}1]}`;
  const response = await fetch(`${server.url}/sdapi/v1/img2img`, {
    method: 'POST',
    headers: { ...alice, 'content-type': 'application/json' },
    body: list,
  });
  assert.equal(response.status, 413);
});

test('a list is measured before its elements are looked at', async () => {
  const { status, body } = await server.json('POST', '/sdapi/v1/img2img', { init_images: Array(5000).fill(1) }, alice);
  assert.equal(status, 422);
  const { detail } = body as { detail: readonly unknown[] };
  assert.equal(detail.length, 1);
});

test('requests that take no picture are small', async () => {
  const { status } = await server.json(
    'POST',
    '/v1/images/generations',
    { prompt: 'x', user: 'x'.repeat(2 ** 21) },
    alice,
  );
  assert.equal(status, 413);
});

test('bytes under way are counted for each caller, before they are read, and given back', async () => {
  const hold = (): { readonly answer: Promise<number>; readonly end: () => void } => {
    const call = request(`${server.url}/sdapi/v1/png-info`, {
      method: 'POST',
      headers: { ...alice, 'content-type': 'application/json', 'content-length': '2000000' },
    });
    const answer = new Promise<number>((resolve) => {
      call.on('response', (response) => resolve(response.statusCode ?? 0));
      call.on('error', () => resolve(0));
    });
    call.write('{');
    return { answer, end: () => call.destroy() };
  };
  const first = hold();
  // The first is under way once a second is refused.
  let second = hold();
  while ((await Promise.race([second.answer, first.answer])) !== 429) second = hold();
  assert.equal(
    (await server.json('POST', '/sdapi/v1/png-info', { image: 'eA==' }, bob)).status,
    422,
    'bob is not held up',
  );
  first.end();
  second.end();
  let status = 429;
  while (status === 429)
    ({ status } = await server.json('POST', '/sdapi/v1/png-info', { image: 'A'.repeat(2_000_000) }, alice));
  assert.equal(status, 422);
});

test('pipelined requests are answered one after another, and a flood of them ends its connection', async () => {
  const flood = (count: number): Promise<string> =>
    new Promise((resolve) => {
      const { hostname, port } = new URL(server.url);
      const socket = connect(Number(port), hostname);
      let received = '';
      socket.on('data', (data) => {
        received += data.toString('latin1');
        if (received.split('HTTP/1.1 200').length > count) socket.destroy();
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(received));
      socket.write('GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(count));
    });
  assert.equal((await flood(5)).split('HTTP/1.1 200').length, 6);
  assert.ok((await flood(5000)).split('HTTP/1.1 200').length < 18);
});

test('the document of the APIs is known by its tag', async () => {
  const first = await fetch(`${server.url}/openapi.json`);
  const etag = first.headers.get('etag') ?? '';
  assert.match(etag, /^"[0-9a-f]{32}"$/);
  assert.equal((await fetch(`${server.url}/openapi.json`, { headers: { 'if-none-match': etag } })).status, 304);
});

test('a job has a limit of work', async () => {
  const job = { steps: 150, width: 2048, height: 2048, batchSize: 4 };
  const { status, body } = await server.json('POST', '/api/v1/jobs', job, alice);
  assert.equal(status, 422);
  assert.match(JSON.stringify(body), /steps x width x height x pictures/);
});

test("a small job is done while another caller's large one is under way", async () => {
  const large = { steps: 150, width: 512, height: 512, guidanceScale: 7 };
  const { body: first } = await server.json('POST', '/api/v1/jobs', large, alice);
  const { id } = first as { id: string };
  const state = async (): Promise<string> =>
    ((await server.json('GET', `/api/v1/jobs/${id}`, undefined, alice)).body as { state: string }).state;
  while ((await state()) === 'queued') await new Promise((resolve) => setTimeout(resolve, 5));
  const small = { steps: 1, width: 64, height: 64, seed: 1 };
  assert.equal((await server.json('POST', '/sdapi/v1/txt2img', small, bob)).status, 200);
  assert.equal(await state(), 'running');
  await server.json('DELETE', `/api/v1/jobs/${id}`, undefined, alice);
});

test('event streams of one caller are bounded', async () => {
  const { body } = await server.json('POST', '/api/v1/jobs', { steps: 150, width: 512, height: 512 }, alice);
  const { id } = body as { id: string };
  const abort = new AbortController();
  const open = async (): Promise<number> =>
    (await fetch(`${server.url}/api/v1/jobs/${id}/events`, { headers: alice, signal: abort.signal })).status;
  assert.deepEqual([await open(), await open(), await open()], [200, 200, 429]);
  abort.abort();
  await server.json('DELETE', `/api/v1/jobs/${id}`, undefined, alice);
});

test('answers say that no other site shows them, nobody keeps them, and what they are', async () => {
  const page = await fetch(`${server.url}/`);
  assert.match(page.headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/);
  const answer = await fetch(`${server.url}/sdapi/v1/options`, { headers: alice });
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  assert.equal(answer.headers.get('cache-control'), 'no-store');
});

test('HEAD is answered wherever GET is', async () => {
  for (const path of ['/', '/healthz', '/openapi.json']) {
    const response = await fetch(server.url + path, { method: 'HEAD' });
    assert.equal(response.status, 200, path);
    assert.equal(await response.text(), '');
  }
});

const optionsOf = (body: Buffer): Promise<Response> =>
  fetch(`${server.url}/sdapi/v1/options`, {
    method: 'POST',
    headers: { ...alice, 'content-type': 'application/json' },
    body: Uint8Array.from(body),
  });

test('a body may begin with a byte order mark', async () => {
  const json = '\ufeff{"eta_ddim":0.5}';
  for (const body of [Buffer.from(json), Buffer.from(json, 'utf16le'), Buffer.from(json, 'utf16le').swap16()])
    assert.equal((await optionsOf(body)).status, 200);
});

test('a body in another encoding is refused, as by Python, not read with other letters', async () => {
  for (const body of [Buffer.from('{"sd_model_checkpoint":"caf\xe9"}', 'latin1'), Buffer.from('{}', 'utf16le')]) {
    const response = await optionsOf(body);
    assert.equal(response.status, 422);
    assert.match(await response.text(), /not UTF-8/);
  }
});

test('an address that sends many wrong keys is refused for a while', async () => {
  const guarded = await startTestServer({ keys, limits: { failedKeysPerMinute: 3 } });
  const statuses: number[] = [];
  for (let i = 0; i < 5; i++)
    statuses.push((await guarded.json('GET', '/sdapi/v1/options', undefined, { 'x-api-key': `wrong-${i}` })).status);
  await guarded.stop();
  assert.deepEqual(statuses, [401, 401, 401, 429, 429]);
});

test('two servers do not share a data folder', async () => {
  await assert.rejects(startTestServer({ dataFolder: server.folder }), {
    code: 'busy',
    message: new RegExp(`process ${process.pid}`),
  });
});
