/** Clients that go away before they are answered: their work is dropped where nobody else wants it, and nothing else is. */

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import test, { after, before } from 'node:test';
import { startTestServer, type TestServer } from './start.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop(0));

interface View {
  readonly id: string;
  readonly state: string;
}
const long = { prompt: 'a red apple', steps: 150, width: 128, height: 128 };
const jobs = async (): Promise<readonly View[]> =>
  ((await server.json('GET', '/api/v1/jobs?limit=100')).body as { jobs: View[] }).jobs;

/** Waits until the newest job is in one of these states. */
async function until(...states: readonly string[]): Promise<View> {
  for (;;) {
    const [newest] = await jobs();
    if (newest && states.includes(newest.state)) return newest;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A connection that has sent a request. */
function send(
  path: string,
  body: string,
  length = Buffer.byteLength(body),
): { destroy(): void; ended(): void; readonly first: Promise<void> } {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () =>
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`,
    ),
  );
  socket.on('error', () => {});
  return {
    destroy: () => socket.resetAndDestroy(),
    ended: () => socket.end(),
    first: new Promise((resolve) => socket.once('data', () => resolve())),
  };
}

for (const [name, path, body] of [
  ['A1111', '/sdapi/v1/txt2img', long],
  ['OpenAI', '/v1/images/generations', { ...long, size: '128x128' }],
] as const) {
  test(`${name}: a client that goes while it waits takes its job with it`, async () => {
    const client = send(path, JSON.stringify(body));
    await until('running');
    client.destroy();
    await until('cancelled');
    const waits = send(path, JSON.stringify(body));
    await until('queued', 'running');
    waits.ended();
    await until('cancelled');
  });
}

test('OpenAI: a client that goes in the middle of a stream takes its job with it', async () => {
  const client = send(
    '/v1/images/generations',
    JSON.stringify({ ...long, size: '128x128', stream: true, partial_images: 3 }),
  );
  await client.first;
  await until('running');
  client.destroy();
  await until('cancelled');
});

test("a listener of a job's events that goes leaves the job alone", async () => {
  const { body: job } = (await server.json('POST', '/api/v1/jobs', { ...long, steps: 20 })) as { body: View };
  const abort = new AbortController();
  const response = await fetch(`${server.url}/api/v1/jobs/${job.id}/events`, { signal: abort.signal });
  const reader = response.body?.getReader();
  await reader?.read();
  abort.abort();
  assert.equal((await until('done', 'cancelled', 'failed')).state, 'done');
});

test('an upload that breaks off makes no job', async () => {
  const before = (await jobs()).length;
  const body = JSON.stringify(long);
  for (const length of [1, 20, body.length - 1]) {
    const client = send('/sdapi/v1/txt2img', body.slice(0, length), body.length);
    await new Promise((resolve) => setImmediate(resolve));
    client.destroy();
  }
  assert.equal((await server.json('GET', '/readyz')).status, 200);
  assert.equal((await jobs()).length, before);
});

test('a crowd that goes at once leaves a server that works', async () => {
  const clients = Array.from({ length: 30 }, () => send('/sdapi/v1/txt2img', JSON.stringify(long)));
  await until('queued', 'running');
  for (const client of clients) client.destroy();
  for (;;) {
    const open = (await jobs()).filter(({ state }) => state === 'queued' || state === 'running');
    if (open.length === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal((await server.json('POST', '/sdapi/v1/txt2img', { ...long, steps: 1 })).status, 200);
});
