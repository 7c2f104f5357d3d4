/**
 * Clients of ComfyUI, unmodified: @stable-canvas/comfyui-client and @saintno/comfyui-sdk; and the requests of Open WebUI
 * (backend/open_webui/utils/images/comfyui.py) and of Krita AI Diffusion (ai_diffusion/comfy_client.py) in their order.
 */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { CallWrapper, ComfyApi, PromptBuilder } from '@saintno/comfyui-sdk';
import { Client } from '@stable-canvas/comfyui-client';
import { WebSocket } from 'ws';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { pocketGraph } from './comfyui-graph.ts';
import { png, startTestServer, type TestServer, testImage } from './start.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer({ comfyuiPreviews: true });
});
after(() => server.stop());

async function sizeOf(bytes: ArrayBuffer): Promise<readonly [width: number, height: number]> {
  const { width, height } = await nodeImageCodec.decode(new Uint8Array(bytes));
  return [width, height];
}

test('@stable-canvas/comfyui-client', async () => {
  const host = new URL(server.url).host;
  const client = new Client({ api_host: host, clientId: 'stable-canvas', WebSocket, fetch });
  client.connect();
  try {
    assert.deepEqual(await client.getEmbeddings(), []);
    assert.ok('KSampler' in (await client.getNodeDefs()));
    const steps: number[] = [];
    const { images } = await client.enqueue(pocketGraph({ seed: 1 }), {
      progress: ({ value }) => void steps.push(value),
    });
    assert.deepEqual(steps, [1, 2]);
    // The client counts previews as pictures too.
    const image = images.find(({ type }) => type === 'url');
    assert.ok(image?.type === 'url', images.map(({ type }) => type).join());
    assert.deepEqual(await sizeOf(await (await fetch(image.data)).arrayBuffer()), [64, 64]);
    const { queue_running: running } = (await client.getQueue()) as { queue_running?: unknown[] };
    assert.deepEqual(running ?? [], []);
  } finally {
    client.close();
  }
});

/** Nodes with the titles that the client's types want. */
const titled = (graph: ReturnType<typeof pocketGraph>) =>
  Object.fromEntries(Object.entries(graph).map(([id, node]) => [id, { ...node, _meta: { title: node.class_type } }]));

test('@saintno/comfyui-sdk', async () => {
  const api = new ComfyApi(server.url, 'saintno');
  try {
    await api.init(3, 200).waitForReady();
    const workflow = new PromptBuilder(titled(pocketGraph({ seed: 2 })), ['seed'], ['images'])
      .setInputNode('seed', '3.inputs.seed')
      .setOutputNode('images', '9')
      .input('seed', 2);
    const seen: string[] = [];
    const result = await new CallWrapper(api, workflow)
      .onProgress(({ value }) => void seen.push(`step ${value}`))
      .onPreview(() => void seen.push('preview'))
      .run();
    assert.ok(result, 'the run ended well');
    assert.ok(seen.includes('step 2') && seen.includes('preview'), seen.join());
    const [image] = (result as { images: { images: { filename: string; subfolder: string; type: string }[] } }).images
      .images;
    assert.ok(image);
    assert.deepEqual(await sizeOf(await (await fetch(api.getPathImage(image))).arrayBuffer()), [64, 64]);
  } finally {
    api.destroy();
  }
});

interface Executed {
  readonly images: readonly { readonly filename: string; readonly subfolder: string; readonly type: string }[];
}

/** Waits on a socket for the end of a prompt, as both programs do. */
function untilDone(socket: WebSocket, promptId: () => string | undefined): Promise<readonly string[]> {
  const kinds: string[] = [];
  return new Promise((resolve) => {
    socket.on('message', (data, isBinary) => {
      if (isBinary) {
        kinds.push(`binary ${(data as Buffer).readUInt32BE(0)}`);
        return;
      }
      const { type, data: fields } = JSON.parse(String(data)) as { type: string; data: Record<string, unknown> };
      kinds.push(type);
      if (type === 'executing' && fields['node'] === null && fields['prompt_id'] === promptId()) resolve(kinds);
    });
  });
}

const opened = (socket: WebSocket): Promise<unknown> => new Promise((resolve) => socket.once('open', resolve));

test('Open WebUI: object_info, upload, prompt over the socket, history, view', async () => {
  const info = (await server.json('GET', '/object_info')).body as Record<
    string,
    { input: { required: Record<string, unknown[]> } }
  >;
  const [models] = info['CheckpointLoaderSimple']?.input.required['ckpt_name'] ?? [];
  assert.deepEqual(models, ['pocket.safetensors']);
  const form = new FormData();
  form.append('image', new Blob([new Uint8Array(await png(testImage(32, 32)))]), 'in.png');
  form.append('type', 'input');
  const uploaded = await fetch(`${server.url}/api/upload/image`, { method: 'POST', body: form });
  assert.deepEqual(await uploaded.json(), { name: 'in.png', subfolder: '', type: 'input' });
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws?clientId=open-webui`);
  let id: string | undefined;
  const done = untilDone(socket, () => id);
  await opened(socket);
  const answer = await server.json('POST', '/prompt', { prompt: pocketGraph({ seed: 3 }), client_id: 'open-webui' });
  id = (answer.body as { prompt_id: string }).prompt_id;
  await done;
  socket.terminate();
  const history = (await server.json('GET', `/history/${id}`)).body as Record<
    string,
    { outputs: Record<string, Executed> }
  >;
  const [image] = history[id]?.outputs['9']?.images ?? [];
  assert.ok(image);
  const view = await fetch(`${server.url}/view?${new URLSearchParams({ ...image })}`);
  assert.equal(view.headers.get('content-type'), 'image/png');
  assert.deepEqual(await sizeOf(await view.arrayBuffer()), [64, 64]);
});

test('Krita AI Diffusion: system_stats, lists, socket with features, prompt in front, interrupt, clear', async () => {
  const stats = (await server.json('GET', '/system_stats')).body as { devices: { type: string; vram_total: number }[] };
  assert.ok(stats.devices[0] && stats.devices[0].vram_total > 2 ** 28);
  for (const path of ['/object_info', '/models/checkpoints', '/api/etn/model_info/checkpoints', '/features']) {
    const { status } = await server.json('GET', path);
    // The extension's own nodes are not there, which it says by 404.
    assert.equal(status, path.includes('etn') ? 404 : 200, path);
  }
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws?clientId=krita`);
  let id: string | undefined;
  const done = untilDone(socket, () => id);
  await opened(socket);
  socket.send(JSON.stringify({ type: 'feature_flags', data: { supports_preview_metadata: true } }));
  const body = { prompt: pocketGraph({ seed: 4, steps: 3 }), client_id: 'krita', front: true };
  id = ((await server.json('POST', '/prompt', body)).body as { prompt_id: string }).prompt_id;
  const kinds = await done;
  socket.terminate();
  const order = ['status', 'feature_flags', 'execution_start', 'execution_cached', 'progress_state', 'executing'];
  assert.deepEqual([...new Set(kinds)], [...order, 'binary 4', 'progress', 'executed', 'execution_success']);
  assert.equal((await server.json('POST', '/interrupt')).status, 200);
  assert.equal((await server.json('POST', '/queue', { clear: true })).status, 200);
  assert.equal((await server.json('POST', '/free', { unload_models: true })).status, 200);
});
