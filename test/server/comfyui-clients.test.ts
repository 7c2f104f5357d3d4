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

/** What Krita AI Diffusion 1.53 looks for when it connects (ai_diffusion/backend/resources.py, `required_custom_nodes`). */
const kritaNodes = [
  'InpaintPreprocessor',
  'DepthAnythingV2Preprocessor',
  'IPAdapterModelLoader',
  'IPAdapter',
  'ETN_LoadImageCache',
  'ETN_SaveImageCache',
  'ETN_Translate',
  'INPAINT_LoadFooocusInpaint',
  'INPAINT_ShrinkMask',
  'INPAINT_StabilizeMask',
  'INPAINT_ColorMatch',
];
/** The nodes and inputs whose lists of files it reads. */
const kritaLists = [
  ['DualCLIPLoader', 'clip_name1'],
  ['VAELoader', 'vae_name'],
  ['ControlNetLoader', 'control_net_name'],
  ['CLIPVisionLoader', 'clip_name'],
  ['IPAdapterModelLoader', 'ipadapter_file'],
  ['UpscaleModelLoader', 'model_name'],
  ['INPAINT_LoadInpaintModel', 'model_name'],
  ['LoraLoader', 'lora_name'],
] as const;

test('Krita AI Diffusion: what it checks when it connects', async () => {
  const stats = (await server.json('GET', '/system_stats')).body as { devices: { type: string; vram_total: number }[] };
  assert.ok(stats.devices[0] && stats.devices[0].vram_total > 2 ** 28);
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws?clientId=krita`);
  await opened(socket);
  socket.close();
  const info = (await server.json('GET', '/object_info')).body as Record<
    string,
    { input: { required: Record<string, unknown[]> } }
  >;
  for (const name of kritaNodes) assert.ok(name in info, name);
  for (const [node, input] of kritaLists) {
    const [type, settings] = info[node]?.input.required[input] ?? [];
    const names = type === 'COMBO' ? (settings as { options: unknown }).options : type;
    assert.ok(Array.isArray(names), node);
  }
  assert.deepEqual((await server.json('GET', '/api/etn/languages')).body, []);
  const models = (await server.json('GET', '/api/etn/model_info/checkpoints?offset=0&limit=8')).body as Record<
    string,
    unknown
  >;
  assert.deepEqual(models['_meta'], { offset: 0, count: 1, total: 1 });
  assert.deepEqual(models['pocket.safetensors'], { base_model: 'sd15', is_inpaint: false });
  assert.deepEqual((await server.json('GET', '/api/etn/model_info/diffusion_models?offset=0&limit=8')).body, {
    _meta: { offset: 0, count: 0, total: 0 },
  });
  assert.equal((await server.json('GET', '/api/etn/model_info/nothing')).status, 400);
  for (const word of ['subscribe', 'unsubscribe'])
    assert.equal((await server.json('POST', `/api/etn/workflow/${word}`, { client_id: 'krita' })).status, 200);
});

/** Krita's graph for a picture of a picture: the picture is sent before by its id, and the result is fetched by one. */
function kritaGraph() {
  const {
    5: _empty,
    9: _save,
    ...graph
  } = pocketGraph({ seed: 4, steps: 3 }) as Record<string, { class_type: string; inputs: Record<string, unknown> }>;
  const { 3: sampler } = graph;
  assert.ok(sampler);
  return {
    ...graph,
    3: { ...sampler, inputs: { ...sampler.inputs, latent_image: ['21', 0], denoise: 0.6 } },
    20: { class_type: 'ETN_LoadImageCache', inputs: { id: 'a1b2' } },
    21: { class_type: 'VAEEncode', inputs: { pixels: ['20', 0], vae: ['4', 2] } },
    22: { class_type: 'ETN_SaveImageCache', inputs: { images: ['8', 0], format: 'PNG' } },
  };
}

test('Krita AI Diffusion: a picture sent by its id, the prompt under its own id, the result fetched; interrupt, clear', async () => {
  const put = (id: string, body: BodyInit) => fetch(`${server.url}/api/etn/image/${id}`, { method: 'PUT', body });
  const bytes = new Uint8Array(await png(testImage(64, 64)));
  assert.equal((await put('a1b2', bytes)).status, 201);
  assert.equal((await put('a1b2', bytes)).status, 200);
  assert.equal((await put('..%2Fa1b2', bytes)).status, 400);
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws?clientId=krita`);
  const id = '0b8a2f6e-9d8a-4a1c-8c3e-5a5b5c5d5e5f';
  let images: readonly Record<string, string>[] = [];
  socket.on('message', (data, isBinary) => {
    if (isBinary) return;
    const { type, data: fields } = JSON.parse(String(data)) as { type: string; data: { output: { images: never } } };
    if (type === 'executed') ({ images } = fields.output);
  });
  const done = untilDone(socket, () => id);
  await opened(socket);
  const body = { prompt: kritaGraph(), client_id: 'krita', prompt_id: id, front: true };
  assert.equal(((await server.json('POST', '/prompt', body)).body as { prompt_id: string }).prompt_id, id);
  const kinds = await done;
  socket.terminate();
  const order = ['status', 'execution_start', 'execution_cached', 'progress_state', 'executing'];
  assert.deepEqual(
    [...new Set(kinds)].filter((kind) => !kind.startsWith('binary')),
    [...order, 'progress', 'executed', 'execution_success'],
  );
  const [image] = images;
  assert.equal(image?.['source'], 'http');
  const result = await fetch(`${server.url}/api/etn/image/${image?.['id']}`);
  assert.equal(result.headers.get('content-type'), 'image/png');
  assert.deepEqual(await sizeOf(await result.arrayBuffer()), [64, 64]);
  assert.equal((await server.json('POST', '/interrupt')).status, 200);
  assert.equal((await server.json('POST', '/queue', { delete: [id] })).status, 200);
  assert.equal((await server.json('GET', '/api/etn/image/unknown')).status, 404);
});
