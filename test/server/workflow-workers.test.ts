/** Workflows on Redis: two servers that make nothing themselves, and `sd worker` in a process of its own. Skipped where redis-server is not installed. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { WebSocket } from 'ws';
import { pocketGraph } from './comfyui-graph.ts';
import { type Program, startProgram } from './program.ts';
import { noRedis, startRedis, type TestRedis } from './redis-server.ts';
import { startTestServer, type TestServer } from './start.ts';

const skip = noRedis;
let redis: TestRedis;
let servers: readonly TestServer[] = [];
let worker: Program;
let files = '';

const startWorkerProgram = (): Promise<Program> =>
  startProgram(['worker', '--redis', redis.url, '--comfyui-files', files, '--log-level', 'silent'], /Working for/);

before(async () => {
  if (skip) return;
  redis = await startRedis();
  files = mkdtempSync(join(tmpdir(), 'sd-comfy-'));
  const options = { redis: redis.url, work: false, comfyuiFiles: files, comfyuiPreviews: true };
  servers = [await startTestServer(options), await startTestServer(options)];
});
after(async () => {
  if (skip) return;
  await worker?.end('SIGTERM');
  for (const server of servers) await server.stop();
  await redis.stop();
  rmSync(files, { recursive: true, force: true });
});

const both = (): [TestServer, TestServer] => {
  const [first, second] = servers;
  assert.ok(first && second);
  return [first, second];
};

type Message = { readonly type: string; readonly data: Readonly<Record<string, unknown>> };

/** What a socket gets of a prompt until it ends; pictures as the message `preview`. */
async function listen(server: TestServer, client: string) {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws?clientId=${client}`);
  const messages: Message[] = [];
  const waiting: { readonly until: (message: Message) => boolean; readonly done: (message: Message) => void }[] = [];
  socket.on('message', (data, isBinary) => {
    const message = isBinary ? { type: 'preview', data: {} } : (JSON.parse(String(data)) as Message);
    messages.push(message);
    for (const { until, done } of waiting) if (until(message)) done(message);
  });
  await new Promise((resolve) => socket.once('open', resolve));
  return {
    messages,
    next: (until: (message: Message) => boolean) => new Promise<Message>((done) => waiting.push({ until, done })),
    close: () => socket.terminate(),
  };
}

async function post(server: TestServer, client: string, steps: number, seed: number): Promise<string> {
  const body = { prompt: pocketGraph({ steps, seed }), client_id: client };
  const answer = await server.json('POST', '/prompt', body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return (answer.body as { prompt_id: string }).prompt_id;
}

interface Entry {
  readonly status: { readonly status_str: string; readonly messages: readonly [string, unknown][] };
  readonly outputs: Readonly<Record<string, { readonly images: readonly Record<string, string>[] }>>;
}
const historyOf = async (server: TestServer, id: string): Promise<Entry | undefined> =>
  ((await server.json('GET', `/history/${id}`)).body as Record<string, Entry>)[id];

test('without a worker a workflow is refused, as pictures are', { skip }, async () => {
  const [first] = both();
  const { status, body } = await first.json('POST', '/prompt', { prompt: pocketGraph() });
  assert.equal(status, 503);
  assert.match(JSON.stringify(body), /No worker takes the jobs of this server/);
  const { exec_info } = (await first.json('GET', '/prompt')).body as { exec_info: { queue_remaining: number } };
  assert.equal(exec_info.queue_remaining, 0);
});

test('a worker runs it: messages and previews come over Redis, files and history from both servers', {
  skip,
}, async () => {
  worker = await startWorkerProgram();
  const [first, second] = both();
  const socket = await listen(first, 'watcher');
  const ended = socket.next(({ type, data }) => type === 'executing' && data['node'] === null);
  const id = await post(first, 'watcher', 3, 5);
  await ended;
  socket.close();
  const kinds = [...new Set(socket.messages.map(({ type }) => type))];
  assert.deepEqual(kinds, [
    'status',
    'execution_start',
    'execution_cached',
    'progress_state',
    'executing',
    'progress',
    'preview',
    'executed',
    'execution_success',
  ]);
  const entry = await historyOf(second, id);
  assert.equal(entry?.status.status_str, 'success');
  const [image] = entry?.outputs['9']?.images ?? [];
  const view = await fetch(`${second.url}/view?${new URLSearchParams(image)}`);
  assert.equal(view.headers.get('content-type'), 'image/png');
});

test('an interrupt at one server ends the workflow in the worker', { skip }, async () => {
  const [first, second] = both();
  const socket = await listen(first, 'stopper');
  const begun = socket.next(({ type }) => type === 'progress');
  const ended = socket.next(({ type, data }) => type === 'executing' && data['node'] === null);
  const id = await post(first, 'stopper', 150, 6);
  await begun;
  assert.equal((await second.json('POST', '/interrupt')).status, 200);
  await ended;
  socket.close();
  assert.ok(socket.messages.some(({ type }) => type === 'execution_interrupted'));
  assert.equal((await historyOf(first, id))?.status.status_str, 'error');
});

test('another worker takes over the workflow of one that was killed', { skip }, async () => {
  const [first] = both();
  const socket = await listen(first, 'patient');
  const begun = socket.next(({ type }) => type === 'progress');
  const ended = socket.next(({ type, data }) => type === 'executing' && data['node'] === null);
  const id = await post(first, 'patient', 60, 7);
  await begun;
  await worker.end('SIGKILL');
  worker = await startWorkerProgram();
  await ended;
  socket.close();
  assert.equal((await historyOf(first, id))?.status.status_str, 'success');
});
