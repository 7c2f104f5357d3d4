/** Runs in a page: pictures of the pocket model by the library, on the page's thread and in a worker. Its `?provider=` is WASM or WebGPU. */

import {
  type ModelWorker,
  connectWorker,
  createWebEngine,
  loadModel,
  StableDiffusionError,
  textToImage,
  type WorkerEvent,
} from '../../src/index-web.ts';
import { leastRun, pocketRun, smallRun } from './pocket-run.ts';

const provider = new URLSearchParams(location.search).get('provider') === 'webgpu' ? 'webgpu' : 'wasm';
// One thread: two wait for each other where the machine has other work. The conformance suite runs with two.
const engineOptions = { provider, wasmPath: '/ort/', threads: 1 } as const;

const readConfig = async (): Promise<string> => (await fetch('/pocket.yaml')).text();

async function onPage(): Promise<unknown> {
  const config = await readConfig();
  const model = await loadModel('/pocket.safetensors', { engine: await createWebEngine(engineOptions), config });
  for await (const event of textToImage(model, provider === 'webgpu' ? leastRun : smallRun)) {
    if (event.kind === 'result')
      return { latents: [...event.latents.data], pixels: [...(event.images[0]?.image.data ?? [])] };
  }
  return undefined;
}

async function inWorker(): Promise<unknown> {
  const worker = connectWorker(new Worker('/worker.js', { type: 'module' }));
  const shares: number[] = [];
  worker.onProgress(({ share }) => shares.push(share));
  const file = await (await fetch('/pocket.safetensors')).blob();
  const facts = await worker.load({ file, config: await readConfig(), ...engineOptions });
  const events: WorkerEvent[] = [];
  // Ticks of the page's own clock while the worker computes.
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  for await (const event of worker.generate({ task: 'txt2img', ...pocketRun })) events.push(event);
  clearInterval(timer);
  const images = events.flatMap((event) => (event.kind === 'images' ? event.images : []));
  const latents = events.flatMap((event) => (event.kind === 'result' ? [...event.latents.data] : []));
  return {
    facts,
    latents,
    ticks,
    events: events.length,
    pixels: [...(images[0]?.image.data ?? [])],
    png: [...(images[0]?.png ?? [])],
    steps: events.filter(({ kind }) => kind === 'step').length,
    previews: events.filter((event) => event.kind === 'step' && event.preview).length,
    lastShare: shares.at(-1),
    cancelled: await cancelled(worker),
  };
}

/** With the model that the worker has already. */
async function cancelled(worker: ModelWorker): Promise<unknown> {
  const controller = new AbortController();
  let steps = 0;
  let code = 'none';
  try {
    for await (const event of worker.generate(
      { task: 'txt2img', ...smallRun, steps: 500 },
      { signal: controller.signal, previews: false },
    )) {
      if (event.kind === 'step' && ++steps === 2) controller.abort();
    }
  } catch (error) {
    code = error instanceof StableDiffusionError ? error.code : String(error);
  }
  // The worker is still of use.
  let again = 0;
  for await (const event of worker.generate({ task: 'txt2img', ...smallRun, steps: 1 }))
    if (event.kind === 'images') again += event.images.length;
  const refused = await worker
    .load({ file: '/missing', ...engineOptions })
    .catch((error: unknown) => (error instanceof StableDiffusionError ? error.code : String(error)));
  worker.terminate();
  return { steps, code, again, refused };
}

const checks: Readonly<Record<string, () => Promise<unknown>>> =
  provider === 'webgpu' ? { onPage } : { onPage, inWorker };

async function runAll(): Promise<{ name: string; value?: unknown; error?: string; code?: string }[]> {
  const results: { name: string; value?: unknown; error?: string; code?: string }[] = [];
  for (const [name, check] of Object.entries(checks)) {
    try {
      results.push({ name, value: await check() });
    } catch (error) {
      results.push({
        name,
        error: error instanceof Error ? error.message : String(error),
        ...(error instanceof StableDiffusionError ? { code: error.code } : {}),
      });
    }
  }
  return results;
}

Object.assign(globalThis, { results: runAll() });
