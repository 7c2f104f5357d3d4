/**
 * The worker's end: loads a model and runs pipelines for a page.
 *
 * ONNX Runtime computes on the thread that calls it, so messages (an abort) are heard between steps: after each event the worker yields to
 * its event loop.
 *
 * @example
 * // worker.ts, started with new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' })
 * serveWorker(globalThis);
 */

import { demand } from '../arguments.ts';
import type { Engine } from '../engine/engine.ts';
import { createWebEngine } from '../engine/web.ts';
import { StableDiffusionError } from '../errors.ts';
import { webImageCodec } from '../image/codec/codec-web.ts';
import type { Image } from '../image/image.ts';
import type { GeneratedImage, PipelineEvent } from '../pipelines/events.ts';
import { generate as generatePictures } from '../pipelines/generate.ts';
import { loadModel } from '../model/load-model-web.ts';
import type { Model } from '../model/model.ts';
import { modelTasks } from '../model/model-tasks.ts';
import { recordInfotext } from '../generation/record-infotext.ts';
import type {
  LoadProgress,
  ModelFacts,
  WorkerEvent,
  WorkerImage,
  WorkerModelOptions,
  WorkerReply,
  WorkerRequest,
} from './protocol-web.ts';

/** A worker's global scope, or any other end of a message channel. */
export interface WorkerScope {
  postMessage(message: WorkerReply, options: { readonly transfer: ArrayBuffer[] }): void;
  addEventListener(type: 'message', listener: (event: { readonly data: WorkerRequest }) => void): void;
}

export interface WorkerHostOptions {
  /** Loads a model; replaced in tests. */
  readonly load?: (
    options: WorkerModelOptions,
    onProgress: (progress: LoadProgress) => void,
    signal: AbortSignal,
  ) => Promise<Model>;
  /** Previews take at most this share of the time. Default 0.2. */
  readonly previewShare?: number;
  /** Milliseconds. */
  readonly now?: () => number;
}

/** The engine with a listener for the reading of weights. */
function reporting(engine: Engine, onProgress: (progress: LoadProgress) => void): Engine {
  return {
    provider: engine.provider,
    limits: engine.limits,
    compile: (graph, weights, options) =>
      engine.compile(graph, weights, { ...options, onProgress: (share) => onProgress({ share }) }),
    createState: () => engine.createState(),
    dispose: () => engine.dispose(),
    [Symbol.asyncDispose]: () => engine.dispose(),
  };
}

async function loadHere(
  options: WorkerModelOptions,
  onProgress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<Model> {
  const { file, provider, wasmPath, threads, precision, config, ema, vocabulary, taesd, loras, embeddings } = options;
  const engine = await createWebEngine({
    ...(provider ? { provider } : {}),
    wasmPath,
    threads,
  });
  try {
    return await loadModel(file, {
      engine: reporting(engine, onProgress),
      request: { signal },
      ...(precision ? { precision } : {}),
      config,
      ema,
      vocabulary,
      taesd,
      loras,
      embeddings,
    });
  } catch (error) {
    await engine.dispose();
    throw error;
  }
}

function factsOf(model: Model, provider: string): ModelFacts {
  return {
    label: model.checkpoint.label,
    kind: model.checkpoint.kind,
    nativeSize: model.nativeSize,
    sizeUnit: model.unit,
    recommendation: model.checkpoint.recommendation ?? { settings: {}, prompts: [] },
    provider,
    precision: model.precision,
    takesPrompt: model.tokenizer !== undefined,
    readsPromptSyntax: model.clipTokenizer !== undefined,
    tasks: modelTasks(model.checkpoint.config),
    hasSafetyChecker: model.networkConfig('safety') !== undefined,
    assumed: model.checkpoint.assumed,
  };
}

async function withFile(generated: GeneratedImage): Promise<WorkerImage> {
  const { image, record } = generated;
  const png = await webImageCodec.encode(image, {
    format: 'png',
    metadata: { parameters: recordInfotext(record), record },
  });
  return { ...generated, png: new Uint8Array(png) };
}

/** Lets waiting messages in: a promise alone would not. */
function macrotask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

type StepEvent = Extract<PipelineEvent, { readonly kind: 'step' }>;
type Preview = (step: StepEvent) => Promise<Image<3>[] | undefined>;

/** Previews of steps, as many as take no more than this share of the time. */
function previewer(share: number, now: () => number): Preview {
  const began = now();
  let previewing = 0;
  return async (step) => {
    const at = now();
    // The first is always made; it also shows what one costs.
    if (share === 0 || step.step === step.steps || (previewing > 0 && previewing > (at - began) * share))
      return undefined;
    const images = await step.preview();
    previewing += now() - at;
    return images;
  };
}

/** A pipeline's event as a message: what cannot be copied to a page is left out, and pictures come with their file. */
async function workerEvent(
  given: PipelineEvent,
  preview: Preview,
): Promise<{ readonly event: WorkerEvent; readonly transfer?: ArrayBuffer[] }> {
  if (given.kind === 'stage') return { event: given };
  if (given.kind === 'step') {
    const { latent: _, denoised: __, preview: ___, ...step } = given;
    const images = await preview(given);
    return { event: { ...step, ...(images ? { preview: images } : {}) } };
  }
  if (given.kind === 'images') {
    const images = await Promise.all(given.images.map(withFile));
    return { event: { ...given, images }, transfer: images.map(({ png }) => png.buffer) };
  }
  return { event: { kind: 'result', latents: given.latents, startNoise: given.startNoise } };
}

/** Answers a page's requests; jobs are done one after the other. */
export function serveWorker(
  scope: WorkerScope,
  { load = loadHere, previewShare = 0.2, now = () => performance.now() }: WorkerHostOptions = {},
): void {
  demand(typeof scope?.addEventListener === 'function', 'The scope', 'the `self` of a worker', scope);
  const running = new Map<number, AbortController>();
  let model: Model | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  const unload = async (): Promise<void> => {
    const old = model;
    model = undefined;
    await old?.dispose();
  };

  const event = (id: number, value: WorkerEvent, transfer: ArrayBuffer[] = []): void =>
    scope.postMessage({ id, kind: 'event', event: value }, { transfer });

  const answer = async (request: WorkerRequest, signal: AbortSignal): Promise<ModelFacts | undefined> => {
    const { id } = request;
    if (request.kind === 'load') {
      await unload();
      model = await load(
        request.options,
        (progress) => scope.postMessage({ id, kind: 'progress', progress }, { transfer: [] }),
        signal,
      );
      return factsOf(model, request.options.provider ?? 'wasm');
    }
    if (request.kind === 'generate') {
      if (!model) throw new StableDiffusionError('invalid-argument', 'No model has been loaded. Load one first.');
      const preview = previewer(request.previews ? previewShare : 0, now);
      for await (const given of generatePictures(model, { ...request.job, signal })) {
        const { event: value, transfer } = await workerEvent(given, preview);
        event(id, value, transfer);
        await macrotask();
      }
    }
    if (request.kind === 'unload') await unload();
    return undefined;
  };

  scope.addEventListener('message', ({ data: request }) => {
    const { id } = request;
    if (request.kind === 'abort') return running.get(id)?.abort();
    const controller = new AbortController();
    running.set(id, controller);
    const work = turn.then(() => {
      if (controller.signal.aborted) throw new StableDiffusionError('aborted', 'The work was cancelled.');
      return answer(request, controller.signal);
    });
    turn = work
      .then(
        (facts) => scope.postMessage({ id, kind: 'done', ...(facts ? { facts } : {}) }, { transfer: [] }),
        (error: unknown) => {
          const known =
            error instanceof StableDiffusionError
              ? error
              : new StableDiffusionError('engine-failed', error instanceof Error ? error.message : String(error));
          // A message holds only what can be copied; details that cannot are left out.
          scope.postMessage(
            { id, kind: 'error', code: known.code, message: known.message, details: copyable(known.details) },
            { transfer: [] },
          );
        },
      )
      .finally(() => running.delete(id));
  });
}

function copyable(details: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  try {
    return structuredClone(details);
  } catch {
    return {};
  }
}
