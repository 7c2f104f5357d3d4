/** Hostile workflows and what a page keeps: bounded before it is spent, and others are answered meanwhile. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { pong } from '../../src/server/http/socket.ts';
import { spaceOf } from '../../src/server/admission/storage-quota.ts';
import { pocketGraph } from './comfyui-graph.ts';
import { alice, bob, keys } from './callers.ts';
import { startTestServer, type TestServer } from './start.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer({
    keys,
    limits: {
      workflowBytes: 200_000,
      workflowBytesPerCaller: 300_000,
      workflowMemory: 2 ** 26,
      eventStreamsPerCaller: 3,
      storedBytesPerCaller: 3_000_000,
    },
  });
});
after(() => server.stop());

const node = (class_type: string, inputs: object) => ({ class_type, inputs });
const send = (prompt: object, more: object = {}, headers = alice) =>
  server.json('POST', '/prompt', { prompt, ...more }, headers);

interface History {
  readonly status: { readonly status_str: string };
}
/** The end of a workflow. */
async function ended(prompt: object): Promise<{ readonly status: string; readonly text: string }> {
  const { status, body } = await send(prompt);
  assert.equal(status, 200, JSON.stringify(body));
  const { prompt_id: id } = body as { readonly prompt_id: string };
  for (;;) {
    const found = (await server.json('GET', `/history/${id}`, undefined, alice)).body as Record<string, History>;
    const entry = found[id];
    if (entry) return { status: entry.status.status_str, text: JSON.stringify(entry) };
    await wait(20);
  }
}
const isRunning = async (): Promise<boolean> => {
  const { body } = await server.json('GET', '/queue', undefined, alice);
  return (body as { readonly queue_running: readonly unknown[] }).queue_running.length > 0;
};

test('a text longer than a prompt may be is refused before it is encoded', async () => {
  const graph = { ...pocketGraph(), 6: node('CLIPTextEncode', { text: 'a '.repeat(20_000), clip: ['4', 1] }) };
  const { status, body } = await send(graph);
  assert.equal(status, 400);
  assert.match(JSON.stringify(body), /The input text of node 6 has 40000 characters, and at most 10000 are taken/);
});

test('a workflow has a limit of its own for bytes, and those that wait are counted together', async () => {
  const sized = (bytes: number) => send(pocketGraph({ steps: 150 }), { extra_data: { note: 'x'.repeat(bytes) } });
  assert.equal((await sized(300_000)).status, 413);
  const statuses: number[] = [];
  for (let i = 0; i < 4; i++) statuses.push((await sized(90_000)).status);
  assert.equal(statuses[0], 200);
  assert.equal(statuses.at(-1), 429);
  assert.equal((await send(pocketGraph({ steps: 1 }), {}, bob)).status, 200, 'bob is not held up');
  await server.json('POST', '/queue', { clear: true }, alice);
  await server.json('POST', '/interrupt', {}, alice);
});

test('more pictures than the memory holds are refused: by the numbers of the graph at once, else before they are made', async () => {
  const { status, body } = await send({
    a: node('EmptyImage', { width: 2048, height: 2048, batch_size: 2, color: 0 }),
    out: node('PreviewImage', { images: ['a', 0] }),
  });
  assert.equal(status, 400);
  assert.match(JSON.stringify(body), /bytes of pictures/);
  const { status: end, text } = await ended({
    a: node('EmptyImage', { width: 256, height: 256, batch_size: 1, color: 0 }),
    b: node('RepeatImageBatch', { image: ['a', 0], amount: 4096 }),
    out: node('PreviewImage', { images: ['b', 0] }),
  });
  assert.equal(end, 'error');
  assert.match(text, /This node needs about 3222 MB/);
});

test('others are answered while a node computes for long, and it ends where it is interrupted', async () => {
  const blurred = ended({
    a: node('EmptyImage', { width: 1024, height: 1024, batch_size: 1, color: 77 }),
    b: node('ImageBlur', { image: ['a', 0], blur_radius: 31, sigma: 10 }),
    out: node('PreviewImage', { images: ['b', 0] }),
  });
  while (!(await isRunning())) await wait(10);
  // In the thread that answers, the second of these would wait for the end of the node.
  for (let i = 0; i < 20; i++) assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
  assert.equal(await isRunning(), true);
  await server.json('POST', '/interrupt', {}, alice);
  assert.match((await blurred).text, /execution_interrupted/);
});

test('what a node computes in a thread is the same as here', async () => {
  const graph = (side: number) => ({
    a: node('EmptyImage', { width: side, height: side, batch_size: 1, color: 0x336699 }),
    b: node('ImageBlur', { image: ['a', 0], blur_radius: 1, sigma: 1 }),
    c: node('ImageScale', { image: ['b', 0], upscale_method: 'area', width: 16, height: 16, crop: 'disabled' }),
    out: node('PreviewImage', { images: ['c', 0] }),
  });
  // One colour, in a picture that is small enough to stay here and in one that is not.
  const pixels: string[] = [];
  for (const side of [64, 512]) {
    const { status, text } = await ended(graph(side));
    assert.equal(status, 'success');
    const name = /"filename":\s?"([^"]+)"/.exec(text)?.[1] ?? '';
    const made = await fetch(`${server.url}/view?type=temp&filename=${name}`, { headers: alice });
    const { data } = await nodeImageCodec.decode(new Uint8Array(await made.arrayBuffer()));
    pixels.push(Buffer.from(data).toString('hex'));
  }
  assert.equal(pixels[1], pixels[0]);
  assert.match(pixels[0] ?? '', /^(?:336699)+$/);
});

test('settings that a page changes at the same time are all kept, and have a limit', async () => {
  const names = Array.from({ length: 20 }, (_, i) => `setting-${i}`);
  await Promise.all(names.map((name) => server.json('POST', `/settings/${name}`, name, alice)));
  const { body } = await server.json('GET', '/settings', undefined, alice);
  assert.deepEqual(Object.keys(body).sort(), names.sort());
  for (let i = 0; i < 2; i++) await server.json('POST', `/settings/large-${i}`, 'x'.repeat(700_000), alice);
  const after = (await server.json('GET', '/settings', undefined, alice)).body as Record<string, unknown>;
  assert.equal(typeof after['large-0'], 'string');
  assert.equal(after['large-1'], undefined);
  assert.equal(after['setting-19'], 'setting-19');
});

test('a file that has the name of a folder, or a folder that of a file, is refused as taken', async () => {
  const post = async (path: string): Promise<number> =>
    (await fetch(`${server.url}/userdata/${path}`, { method: 'POST', headers: bob, body: 'x' })).status;
  assert.equal(await post('folder%2Ffile.json'), 200);
  assert.equal(await post('other.json'), 200);
  assert.equal(await post('other.json/move/folder'), 409);
  assert.equal(await post('folder'), 409);
  assert.equal(await post('other.json%2Fx'), 409);
});

test('of two files that are renamed to one name at once, without replacing, both are kept', async () => {
  const post = async (path: string, body?: string): Promise<number> =>
    (await fetch(`${server.url}/userdata/${path}`, { method: 'POST', headers: bob, ...(body ? { body } : {}) })).status;
  for (let round = 0; round < 5; round++) {
    for (const name of ['a', 'b']) assert.equal(await post(`${name}${round}`, name), 200);
    const to = ['a', 'b'].map((name) => post(`${name}${round}/move/c${round}?overwrite=false`));
    assert.deepEqual((await Promise.all(to)).sort(), [200, 409]);
  }
});

test('of two renames of one file at once, one finds it', async () => {
  const post = async (path: string): Promise<number> =>
    (await fetch(`${server.url}/userdata/${path}`, { method: 'POST', headers: bob })).status;
  for (let round = 0; round < 5; round++) {
    assert.equal(await post(`one${round}`), 200);
    const both = await Promise.all([post(`one${round}/move/x${round}`), post(`one${round}/move/y${round}`)]);
    assert.deepEqual(both.sort(), [200, 404]);
  }
});

test('a list of very many ids is refused, and folders take space as files do', async () => {
  assert.equal((await server.json('POST', '/history', { delete: Array(20_000).fill('a') }, bob)).status, 413);
  assert.equal(spaceOf(5000, 'a/b/c.json'), 5000 + 2 * 4096);
});

test('files without content are counted too', async () => {
  let status = 200;
  for (let i = 0; i < 800 && status === 200; i++)
    ({ status } = await fetch(`${server.url}/userdata/empty-${i}.txt`, { method: 'POST', headers: alice }));
  assert.equal(status, 429);
});

test('signs of life whose answers nobody reads end the socket', () => {
  const said: string[] = [];
  const socketOf = (bufferedAmount: number) => ({
    bufferedAmount,
    pong: () => said.push('pong'),
    terminate: () => said.push('terminate'),
  });
  pong(socketOf(0), Buffer.alloc(125));
  pong(socketOf(2 ** 20), Buffer.alloc(125));
  assert.deepEqual(said, ['pong', 'terminate']);
});

test('sockets of one name are counted, each of them', async () => {
  const open = (): Promise<WebSocket | number> =>
    new Promise((resolve) => {
      const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws?clientId=same`, { headers: alice });
      socket.on('open', () => resolve(socket));
      socket.on('error', () => {});
      socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
    });
  const sockets: (WebSocket | number)[] = [];
  for (let i = 0; i < 4; i++) sockets.push(await open());
  assert.equal(sockets[3], 429);
  for (const socket of sockets) if (typeof socket !== 'number') socket.close();
});

test('all nodes are printed in turn with others, and as one text is', async () => {
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    turns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const answers = await Promise.all(
    Array.from({ length: 10 }, async () => (await fetch(`${server.url}/object_info`, { headers: alice })).text()),
  );
  isOver = true;
  assert.ok(turns > 40, `${turns} turns`);
  const nodes = JSON.parse(answers[0] ?? '') as Readonly<Record<string, { readonly name: string }>>;
  assert.ok(Object.keys(nodes).length > 200);
  for (const [name, { name: own }] of Object.entries(nodes)) assert.equal(own, name);
  assert.equal(new Set(answers).size, 1);
});
