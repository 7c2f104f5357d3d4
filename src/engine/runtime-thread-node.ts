/** RuntimeThread: the worker thread that ONNX Runtime lives in, seen as a function from requests to responses. */

import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { StableDiffusionError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Request, ResponseMessage, WorkerOptions } from './node-protocol.ts';
import { runtimeError, threadError } from './runtime-errors-node.ts';
import { close, createGuard, isWorking, waitUntilLeft } from './thread-guard.ts';

interface Pending {
  readonly resolve: (results: readonly Record<string, Tensor>[]) => void;
  readonly reject: (error: Error) => void;
}

/** The longest that the end of the process waits for native code, in milliseconds. */
const longestWait = 30_000;

const guards = new Set<ReturnType<typeof createGuard>>();

/** The process ends its threads, wherever they are. */
function waitForAll(): void {
  for (const guard of guards) close(guard);
  for (const guard of guards) waitUntilLeft(guard, longestWait);
}

export class RuntimeThread {
  readonly #worker: Worker;
  readonly #guard = createGuard();
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #ended: Error | undefined;

  constructor(options: Omit<WorkerOptions, 'guard'>) {
    // Bundlers look for this form, with the name that the compiled file has.
    this.#worker = new Worker(new URL('./node-worker.js', import.meta.url), {
      workerData: { ...options, guard: this.#guard } satisfies WorkerOptions,
    });
    this.#endBetweenRequests();
    this.#worker.unref();
    this.#worker.on('message', (message: ResponseMessage) => {
      const pending = this.#pending.get(message.id);
      this.#pending.delete(message.id);
      if (this.#pending.size === 0) this.#worker.unref();
      if ('error' in message) pending?.reject(runtimeError(message.error));
      else pending?.resolve(message.results);
    });
    this.#worker.on('error', (error) => this.#end(error));
    this.#worker.on('exit', (code) => this.#end(new Error(`the worker thread ended with code ${code}`)));
    if (guards.size === 0) process.on('exit', waitForAll);
    guards.add(this.#guard);
  }

  /** Terminating the thread waits until it has left native code. */
  #endBetweenRequests(): void {
    const worker = this.#worker;
    const terminate = worker.terminate.bind(worker);
    worker.terminate = async () => {
      close(this.#guard);
      while (isWorking(this.#guard)) await setTimeout(5);
      return terminate();
    };
  }

  #end(cause: unknown): void {
    this.#ended ??= threadError(cause);
    for (const pending of this.#pending.values()) pending.reject(this.#ended);
    this.#pending.clear();
    guards.delete(this.#guard);
    if (guards.size === 0) process.off('exit', waitForAll);
  }

  /** Sends a request. The process stays alive until the answer is here. */
  call(request: Request, transfer: ArrayBuffer[] = []): Promise<readonly Record<string, Tensor>[]> {
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#pending.set(id, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ id, request }, transfer);
    });
  }

  /** Ends the thread when the requests before are done. */
  async stop(): Promise<void> {
    await this.call({ kind: 'end' }).catch(() => {});
    await this.#worker.terminate();
  }
}

/** Settles as `work` does, or as soon as the signal fires; then `cancel` notifies the worker, whose current kernel still runs to its end. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined, cancel?: Int32Array): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      if (cancel) Atomics.store(cancel, 0, 1);
      reject(new StableDiffusionError('aborted', 'The work was cancelled.', { cause: signal.reason }));
    };
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
