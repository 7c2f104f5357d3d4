/**
 * Nodes of workflows that compute on pictures, masks and latents, in worker threads: a large picture takes seconds, in which the server
 * still answers. A thread is ended where its caller gives up or the node takes too long, and another is started for the next node.
 */

import { Worker } from 'node:worker_threads';
import { type ErrorCode, StableDiffusionError } from '../../errors.ts';
import type { NodeInputs, RunResult } from '../../workflow/definition.ts';
import { copiedSlowly, memoryOf } from './moved-arrays.ts';

export interface NodeThreads {
  /** Runs a node of this program's table. Throws what the node throws, `too-large` beyond the time, `aborted`. */
  run(node: string, inputs: NodeInputs, signal: AbortSignal | undefined): Promise<RunResult>;
  close(): Promise<void>;
}

/** What a thread is sent, and what it answers. */
export interface NodeTask {
  readonly node: string;
  readonly inputs: NodeInputs;
}
export type NodeAnswer =
  | { readonly made: RunResult }
  | { readonly error: { readonly code: ErrorCode | undefined; readonly message: string } };

/** Next to this file, with the same extension: source or compiled. */
const workerFile = new URL(import.meta.url.endsWith('.ts') ? './node-worker.ts' : './node-worker.js', import.meta.url);

/** Megabytes of JavaScript in one thread; tensors lie outside of it, and are bounded before. */
const heapMegabytes = 512;

export interface NodeThreadsOptions {
  /** Threads at work; more nodes wait their turn. */
  readonly together: number;
  /** Seconds for one node. */
  readonly seconds: number;
}

export function createNodeThreads({ together, seconds }: NodeThreadsOptions): NodeThreads {
  const idle: Worker[] = [];
  const all = new Set<Worker>();
  const waiting: (() => void)[] = [];
  let working = 0;
  const start = (): Worker => {
    const worker = new Worker(workerFile, { resourceLimits: { maxOldGenerationSizeMb: heapMegabytes } });
    worker.unref();
    all.add(worker);
    worker.once('exit', () => all.delete(worker));
    return worker;
  };
  /** One node in one thread; the thread is ended where the node does not end by itself. */
  const work = async (worker: Worker, task: NodeTask, signal: AbortSignal | undefined): Promise<RunResult> => {
    let timer: NodeJS.Timeout | undefined;
    const listeners = new AbortController();
    try {
      const answer = await new Promise<NodeAnswer>((resolve, reject) => {
        const end = (code: 'aborted' | 'too-large' | 'engine-failed', message: string): void =>
          reject(new StableDiffusionError(code, message));
        worker.once('message', resolve);
        worker.once('error', (cause) => end('engine-failed', `The node ${task.node} failed: ${cause.message}`));
        worker.once('exit', () => end('engine-failed', `The thread of the node ${task.node} ended.`));
        timer = setTimeout(
          () => end('too-large', `The node ${task.node} took longer than ${seconds} seconds. Use smaller pictures.`),
          seconds * 1000,
        );
        const abort = (): void => end('aborted', 'The workflow was interrupted.');
        signal?.addEventListener('abort', abort, { once: true, signal: listeners.signal });
        if (signal?.aborted) abort();
        else worker.postMessage(task, memoryOf(task));
      });
      worker.removeAllListeners('message').removeAllListeners('error').removeAllListeners('exit');
      worker.once('exit', () => all.delete(worker));
      idle.push(worker);
      if ('made' in answer) return answer.made;
      const { code, message } = answer.error;
      throw code ? new StableDiffusionError(code, message) : new Error(message);
    } finally {
      clearTimeout(timer);
      listeners.abort();
      if (!idle.includes(worker)) {
        worker.removeAllListeners('error').on('error', () => {});
        all.delete(worker);
        await worker.terminate();
      }
    }
  };
  return {
    async run(node, inputs, signal) {
      if (working >= together) await new Promise<void>((resolve) => waiting.push(resolve));
      working++;
      try {
        // The values of the workflow stay with it.
        const task: NodeTask = { node, inputs: await copiedSlowly(inputs) };
        return await work(idle.pop() ?? start(), task, signal);
      } finally {
        working--;
        waiting.shift()?.();
      }
    },
    async close() {
      idle.length = 0;
      await Promise.all([...all].map((worker) => worker.terminate()));
    },
  };
}
