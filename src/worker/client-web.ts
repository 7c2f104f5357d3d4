/**
 * The page's end: a model in a worker, so that the page's own thread stays free.
 *
 * @example
 * const worker = connectWorker(new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }));
 * await worker.load({ file: 'models/pocket.safetensors' });
 * for await (const event of worker.generate({ task: 'txt2img', prompt: 'red apple' })) show(event);
 */

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
  addEventListener(type: 'message', listener: (event: MessageEvent<WorkerReply>) => void): void;
  addEventListener(type: 'error', listener: (event: ErrorEvent) => void): void;
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

export function connectWorker(port: WorkerPort): ModelWorker {
  const calls = new Map<number, Call>();
  const listeners = new Set<(progress: LoadProgress) => void>();
  let count = 0;
  let stopped: StableDiffusionError | undefined;

  const stop = (error: StableDiffusionError): void => {
    stopped = error;
    for (const call of calls.values()) call.reject(error);
    calls.clear();
  };

  port.addEventListener('message', ({ data: reply }) => {
    if (reply.kind === 'progress') {
      for (const listener of listeners) listener(reply.progress);
      return;
    }
    const call = calls.get(reply.id);
    if (!call) return;
    if (reply.kind === 'event') return call.onEvent(reply.event);
    calls.delete(reply.id);
    if (reply.kind === 'done') call.resolve(reply.facts);
    else call.reject(new StableDiffusionError(reply.code, reply.message, { details: reply.details }));
  });
  port.addEventListener('error', (event) => {
    port.terminate();
    stop(
      new StableDiffusionError(
        'engine-failed',
        `The worker stopped: ${event.message || 'its script could not be loaded, or it ran out of memory'}.`,
      ),
    );
  });

  const terminate = (): void => {
    port.terminate();
    stop(new StableDiffusionError('aborted', 'The worker was stopped.'));
  };

  const call = (
    request: (id: number) => WorkerRequest,
    onEvent: (event: WorkerEvent) => void,
    signal: AbortSignal | undefined,
  ): Promise<ModelFacts | undefined> => {
    throwIfAborted(signal);
    if (stopped) throw stopped;
    const id = ++count;
    const abort = (): void => port.postMessage({ id, kind: 'abort' });
    const answer = new Promise<ModelFacts | undefined>((resolve, reject) =>
      calls.set(id, { onEvent, resolve, reject }),
    );
    signal?.addEventListener('abort', abort, { once: true });
    port.postMessage(request(id));
    return answer.finally(() => signal?.removeEventListener('abort', abort));
  };

  return {
    async load(options, { signal } = {}) {
      const facts = await call(
        (id) => ({ id, kind: 'load', options }),
        () => {},
        signal,
      );
      if (!facts)
        throw new StableDiffusionError('engine-failed', 'The worker returned no facts about the model it loaded.');
      return facts;
    },
    async *generate(job, { signal, previews = true, patience } = {}) {
      const waiting: WorkerEvent[] = [];
      let wake = (): void => {};
      let ended: { readonly error?: unknown } | undefined;
      const leaving = new AbortController();
      const either = signal ? AbortSignal.any([signal, leaving.signal]) : leaving.signal;
      let impatient: ReturnType<typeof setTimeout> | undefined;
      const hurry = (): void => {
        if (patience !== undefined) impatient = setTimeout(terminate, patience);
      };
      signal?.addEventListener('abort', hurry, { once: true });
      const onEvent = (event: WorkerEvent): void => {
        waiting.push(event);
        wake();
      };
      call((id) => ({ id, kind: 'generate', job, previews }), onEvent, either)
        .then(
          () => (ended = {}),
          (error: unknown) => (ended = { error }),
        )
        .finally(() => {
          signal?.removeEventListener('abort', hurry);
          clearTimeout(impatient);
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
    },
    onProgress(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async unload() {
      await call(
        (id) => ({ id, kind: 'unload' }),
        () => {},
        undefined,
      );
    },
    get isStopped() {
      return stopped !== undefined;
    },
    terminate,
  };
}
