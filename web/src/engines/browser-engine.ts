/** Pictures made in this browser, by the library in a worker. Nothing leaves the machine. */

import { connectWorker, type ModelWorker } from 'stable-diffusion-ts/worker/client-web.ts';
import type { ModelFacts } from 'stable-diffusion-ts/worker/protocol-web.ts';
import { promptSyntaxes, samplerLabels, scheduleLabels, syntaxesOf } from '../settings/settings.ts';
import { adapterKey, BrowserAdapters } from './browser-adapters.ts';
import { EventQueue } from './event-queue.ts';
import { isFull, storedModel, storeModel } from './model-store.ts';
import type { AdapterChoice, EngineFacts, JobEvent, ModelChoice, PictureEngine, PictureJob } from './picture-engine.ts';

import { jobEvents, prepared } from './worker-job.ts';

export type Provider = 'wasm' | 'webgpu';

/** A checkpoint chosen by the user, with LDM's YAML if it has one. */
export interface OwnModel {
  readonly name: string;
  readonly file: File;
  readonly config?: string;
}

const pocketName = 'pocket';

const address = (path: string): string => new URL(path, document.baseURI).href;

/** True if this browser has a graphics adapter for WebGPU. */
export async function hasWebGpu(): Promise<boolean> {
  try {
    return ((await (navigator as { readonly gpu?: GPU }).gpu?.requestAdapter()) ?? null) !== null;
  } catch {
    return false;
  }
}

async function hasHalfPrecision(): Promise<boolean> {
  const adapter = await (navigator as { readonly gpu?: GPU }).gpu?.requestAdapter();
  return adapter?.features.has('shader-f16') ?? false;
}

/** Networks of models beyond this size are computed in float16, where the graphics adapter can. */
const largeModel = 1e9;

/** Milliseconds for the step under way when a job is stopped; a step of a large model would take minutes, and its model is read again sooner. */
const stopPatience = 2000;

interface Loaded {
  readonly name: string;
  /** The LoRAs and textual inversions it was loaded with. */
  readonly adapters: string;
  readonly worker: ModelWorker;
  readonly facts: ModelFacts;
}

export class BrowserEngine implements PictureEngine {
  readonly provider: Provider;
  readonly title: string;
  readonly #own = new Map<string, OwnModel>();
  readonly #known = new Map<string, Omit<ModelChoice, 'name'>>([[pocketName, { size: 128, unit: 32, promptSyntaxes }]]);
  readonly #adapters = new BrowserAdapters();
  #stored: readonly string[];
  #loaded: Loaded | undefined;

  constructor(provider: Provider, stored: readonly string[] = []) {
    this.provider = provider;
    this.title = provider === 'webgpu' ? 'This browser · graphics' : 'This browser · processor';
    this.#stored = stored;
  }

  get facts(): EngineFacts {
    const names = new Set([pocketName, ...this.#stored, ...this.#own.keys()]);
    return {
      models: [...names].map((name) => ({ name, ...this.#known.get(name) })),
      samplers: samplerLabels,
      schedules: scheduleLabels,
    };
  }

  /** Adds a checkpoint from the person's disk; it is read from there. */
  add(model: OwnModel): void {
    this.#own.set(model.name, model);
    if (this.#loaded?.name === model.name) this.#unload();
  }

  /** Adds a LoRA or a textual inversion for prompts. */
  addAdapter(adapter: Parameters<BrowserAdapters['add']>[0]): void {
    this.#adapters.add(adapter);
  }

  async adapters(): Promise<readonly AdapterChoice[]> {
    return this.#adapters.list();
  }

  /** Takes back what was added. */
  forget(name: string): void {
    this.#own.delete(name);
  }

  /** Keeps a checkpoint that was added, in the browser. */
  async keep(name: string, onProgress: (share: number) => void): Promise<void> {
    const model = this.#own.get(name);
    if (!model) return;
    await storeModel(name, model.file, onProgress);
    if (model.config !== undefined) await storeModel(`${name}.yaml`, new Blob([model.config]), () => {});
    this.#stored = [...new Set([...this.#stored, name])];
  }

  isKept(name: string): boolean {
    return this.#stored.includes(name);
  }

  #unload(): void {
    this.#loaded?.worker.terminate();
    this.#loaded = undefined;
  }

  /** Opens a model: its header is read, and its architecture known. Throws what `loadModel` throws. */
  async open(
    name: string,
    onStatus: (text: string, share?: number) => void,
    signal?: AbortSignal,
  ): Promise<ModelFacts> {
    return (await this.#open(name, onStatus, signal)).facts;
  }

  async #open(
    name: string,
    onStatus: (text: string, share?: number) => void,
    signal?: AbortSignal,
    adapters: ReturnType<BrowserAdapters['of']> = {},
  ): Promise<Loaded> {
    const key = adapterKey(adapters);
    if (this.#loaded?.name === name && this.#loaded.adapters === key) return this.#loaded;
    this.#unload();
    const { file, config } = await this.#file(name, onStatus, signal);
    onStatus('Opening the model');
    const worker = connectWorker(
      new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'stable-diffusion' }),
    );
    try {
      const half = this.provider === 'webgpu' && file.size > largeModel && (await hasHalfPrecision());
      const facts = await worker.load(
        {
          file,
          provider: this.provider,
          wasmPath: address('ort/'),
          precision: half ? 'float16' : 'float32',
          config,
          ...adapters,
        },
        signal ? { signal } : {},
      );
      this.#known.set(name, {
        size: facts.nativeSize,
        unit: facts.sizeUnit,
        promptSyntaxes: syntaxesOf(facts.readsPromptSyntax),
        tasks: facts.tasks,
      });
      this.#loaded = { name, worker, facts, adapters: key };
      return this.#loaded;
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  async #file(
    name: string,
    onStatus: (text: string, share?: number) => void,
    signal?: AbortSignal,
  ): Promise<{ readonly file: Blob; readonly config?: string }> {
    const own = this.#own.get(name);
    if (own) return { file: own.file, config: own.config };
    const key = name === pocketName ? 'pocket.safetensors' : name;
    const configKey = name === pocketName ? 'pocket.yaml' : `${name}.yaml`;
    const stored = await storedModel(key);
    const storedConfig = await (await storedModel(configKey))?.text();
    // A newer page may come with another model; without a network there is what is stored.
    const current =
      name === pocketName
        ? await fetch(address('models/pocket.yaml')).then(
            (response) => (response.ok ? response.text() : undefined),
            () => undefined,
          )
        : undefined;
    const isCurrent =
      name !== pocketName || (storedConfig !== undefined && (current === undefined || current === storedConfig));
    if (stored && isCurrent) return { file: stored, config: storedConfig };
    if (name !== pocketName)
      throw new Error(`${name} is not kept in this browser any more. Drop the file on this page again.`);
    const get = async (path: string): Promise<Response> => {
      const response = await fetch(address(path), signal ? { signal } : {}).catch((cause: unknown) => {
        if (signal?.aborted) throw cause;
        throw new Error(
          'The model could not be downloaded: the network is unavailable. It is downloaded once, and then kept in this browser.',
        );
      });
      if (!response.ok) throw new Error(`The model could not be downloaded (HTTP ${response.status}).`);
      return response;
    };
    onStatus('Downloading the model, once', 0);
    const config = current ?? (await (await get('models/pocket.yaml')).text());
    try {
      const file = await storeModel(
        key,
        await get('models/pocket.safetensors'),
        (share) => onStatus('Downloading the model, once', share),
        signal,
      );
      await storeModel(configKey, new Blob([config]), () => {});
      return { file, config };
    } catch (error) {
      if (!isFull(error)) throw error;
      // Storage is full: it holds for this visit, in memory.
      onStatus('Downloading the model');
      return { file: await (await get('models/pocket.safetensors')).blob(), config };
    }
  }

  generate(model: string, job: PictureJob, signal: AbortSignal): AsyncGenerator<JobEvent, void, void> {
    const events = new EventQueue<JobEvent>();
    return events.until(this.#work(model, job, signal, events.push));
  }

  async #work(model: string, job: PictureJob, signal: AbortSignal, tell: (event: JobEvent) => void): Promise<void> {
    const say = (text: string, share?: number): void => tell({ kind: 'status', text, share });
    const { prompt, negativePrompt, promptSyntax } = job.settings;
    const adapters = promptSyntax === 'a1111' ? this.#adapters.of(`${prompt}\n${negativePrompt}`) : {};
    const { worker, facts } = await this.#open(model, say, signal, adapters);
    // It may not have been open when the job was written.
    const known: PictureJob = facts.readsPromptSyntax
      ? job
      : { ...job, settings: { ...job.settings, promptSyntax: 'plain' } };
    const hush = worker.onProgress(({ share }) =>
      share < 1 ? say('Reading the weights', share) : say('Preparing the network'),
    );
    try {
      const { job: asked, finish } = await prepared(known, { seesMask: facts.kind === 'inpaint' });
      for await (const event of worker.generate(asked, { signal, previews: job.previews, patience: stopPatience }))
        for (const told of await jobEvents(event, job.settings.batchSize, finish)) tell(told);
    } catch (error) {
      // A worker that has failed inside ONNX Runtime may not be of use again.
      if (worker.isStopped || (error instanceof Error && 'code' in error && error.code === 'engine-failed'))
        this.#unload();
      throw error;
    } finally {
      hush();
    }
  }

  dispose(): void {
    this.#unload();
  }
}
