/**
 * The page's end: a model in a worker, so that the page's own thread stays free.
 *
 * @example
 * const worker = connectWorker(new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }));
 * await worker.load({ file: 'models/pocket.safetensors' });
 * for await (const event of worker.generate({ task: 'txt2img', prompt: 'red apple' })) show(event);
 */

import { demand } from '../arguments.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type {
  LoadProgress,
  ModelFacts,
  WorkerEvent,
  WorkerJob,
  WorkerModelOptions,
  WorkerReply,
  WorkerRequest,
} from './protocol-web.ts';

/** A `Worker`, or any other end of a message channel. */
export interface WorkerPort {
  postMessage(message: WorkerRequest): void;
  addEventListener(type: 'message', listener: (event: { readonly data: WorkerReply }) => void): void;
  addEventListener(type: 'error', listener: (event: { readonly message: string }) => void): void;
  terminate(): void;
}

export interface WorkerLoadOptions {
  readonly signal?: AbortSignal;
}

export interface WorkerGenerateOptions {
  readonly signal?: AbortSignal;
  /** Pictures of the model's guess while it samples, as often as a fifth of the time allows. Default true. */
  readonly previews?: boolean;
  /**
   * Milliseconds after the signal in which the worker may end by itself, which it does when the current network run is over. Then it is
   * terminated, with the model in it. By default it is waited for.
   */
  readonly patience?: number;
}

export interface ModelWorker {
  /** Loads a model in the place of the one before. Networks are compiled when first used. Errors as `loadModel`. */
  load(options: WorkerModelOptions, more?: WorkerLoadOptions): Promise<ModelFacts>;
  /** Makes the pictures of a request. Leaving the loop early cancels it. Errors as the pipeline's. */
  generate(job: WorkerJob, more?: WorkerGenerateOptions): AsyncGenerator<WorkerEvent, void, void>;
  /** Calls back as networks' weights are read, on loading and on the first run; returns how to stop that. */
  onProgress(listener: (progress: LoadProgress) => void): () => void;
  unload(): Promise<void>;
  /** True if the worker was terminated or has failed and accepts no more calls. */
  readonly isStopped: boolean;
  /** Stops the worker at once and frees its memory. */
  terminate(): void;
}

interface Call {
  readonly onEvent: (event: WorkerEvent) => void;
  readonly resolve: (facts: ModelFacts | undefined) => void;
  readonly reject: (error: StableDiffusionError) => void;
}

/** A model in the worker behind `port`. */
export function connectWorker(port: WorkerPort): ModelWorker {
  demand(typeof port?.addEventListener === 'function', 'The port', 'a Worker or a MessagePort', port);
  return new WorkerConnection(port);
}

class WorkerConnection implements ModelWorker {
  readonly #port: WorkerPort;
  readonly #calls = new Map<number, Call>();
  readonly #listeners = new Set<(progress: LoadProgress) => void>();
  #count = 0;
  #stopped: StableDiffusionError | undefined;

  constructor(port: WorkerPort) {
    this.#port = port;
    port.addEventListener('message', ({ data }) => this.#receive(data));
    port.addEventListener('error', (event) => {
      port.terminate();
      this.#stop(
        new StableDiffusionError(
          'engine-failed',
          `The worker stopped: ${event.message || 'its script could not be loaded, or it ran out of memory'}.`,
        ),
      );
    });
  }

  async load(options: WorkerModelOptions, { signal }: WorkerLoadOptions = {}): Promise<ModelFacts> {
    const facts = await this.#call((id) => ({ id, kind: 'load', options }), signal);
    if (!facts)
      throw new StableDiffusionError('engine-failed', 'The worker returned no facts about the model it loaded.');
    return facts;
  }

  async *generate(
    job: WorkerJob,
    { signal, previews = true, patience }: WorkerGenerateOptions = {},
  ): AsyncGenerator<WorkerEvent, void, void> {
    const waiting: WorkerEvent[] = [];
    let wake = (): void => {};
    let ended: { readonly error?: unknown } | undefined;
    const leaving = new AbortController();
    const either = signal ? AbortSignal.any([signal, leaving.signal]) : leaving.signal;
    const stopHurrying = this.#hurry(signal, patience);
    const onEvent = (event: WorkerEvent): void => {
      waiting.push(event);
      wake();
    };
    this.#call((id) => ({ id, kind: 'generate', job, previews }), either, onEvent)
      .then(
        () => (ended = {}),
        (error: unknown) => (ended = { error }),
      )
      .finally(() => {
        stopHurrying();
        wake();
      });
    try {
      for (;;) {
        const next = waiting.shift();
        if (next) yield next;
        else if (ended) break;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
      if (ended && 'error' in ended) throw ended.error;
    } finally {
      if (!ended) leaving.abort();
    }
  }

  onProgress(listener: (progress: LoadProgress) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async unload(): Promise<void> {
    await this.#call((id) => ({ id, kind: 'unload' }), undefined);
  }

  get isStopped(): boolean {
    return this.#stopped !== undefined;
  }

  terminate(): void {
    this.#port.terminate();
    this.#stop(new StableDiffusionError('aborted', 'The worker was stopped.'));
  }

  /** Sends a request. Resolves with the worker's answer, and cancels the work when the signal fires. */
  async #call(
    request: (id: number) => WorkerRequest,
    signal: AbortSignal | undefined,
    onEvent: (event: WorkerEvent) => void = () => {},
  ): Promise<ModelFacts | undefined> {
    throwIfAborted(signal);
    if (this.#stopped) throw this.#stopped;
    const id = ++this.#count;
    const abort = (): void => this.#port.postMessage({ id, kind: 'abort' });
    const answer = new Promise<ModelFacts | undefined>((resolve, reject) =>
      this.#calls.set(id, { onEvent, resolve, reject }),
    );
    signal?.addEventListener('abort', abort, { once: true });
    this.#port.postMessage(request(id));
    return answer.finally(() => signal?.removeEventListener('abort', abort));
  }

  #receive(reply: WorkerReply): void {
    if (reply.kind === 'progress') {
      for (const listener of this.#listeners) listener(reply.progress);
      return;
    }
    const call = this.#calls.get(reply.id);
    if (!call) return;
    if (reply.kind === 'event') {
      call.onEvent(reply.event);
      return;
    }
    this.#calls.delete(reply.id);
    if (reply.kind === 'done') call.resolve(reply.facts);
    else call.reject(new StableDiffusionError(reply.code, reply.message, { details: reply.details }));
  }

  /** Terminates the worker `patience` milliseconds after the signal. Returns how to call that off. */
  #hurry(signal: AbortSignal | undefined, patience: number | undefined): () => void {
    if (signal === undefined || patience === undefined) return () => {};
    let timer: ReturnType<typeof setTimeout> | undefined;
    const begin = (): void => {
      timer = setTimeout(() => this.terminate(), patience);
    };
    signal.addEventListener('abort', begin, { once: true });
    return () => {
      signal.removeEventListener('abort', begin);
      clearTimeout(timer);
    };
  }

  #stop(error: StableDiffusionError): void {
    this.#stopped = error;
    for (const call of this.#calls.values()) call.reject(error);
    this.#calls.clear();
  }
}
