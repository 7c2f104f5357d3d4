/**
 * Large JSON bodies are parsed in a worker thread, one after another: a picture of 30 MB takes a tenth of a second, and three that arrive
 * together would hold up everybody. The bytes are handed over, not copied.
 */

import { Worker } from 'node:worker_threads';
import { type JsonLimits, parseJson, refusal } from './parse-json.ts';

export interface JsonTask {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly limits: JsonLimits;
}
export type JsonAnswer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly refused: { readonly message: string; readonly statusCode: number } };

export interface JsonParser {
  /** The value. The body's bytes are not to be used afterwards. Throws a `refusal`. */
  parse(body: Buffer, limits: JsonLimits): unknown;
  close(): Promise<void>;
}

/** Bytes from which on a body is parsed in the thread; handing it over takes about a millisecond. */
const large = 2 ** 20;
/** Megabytes of JavaScript in the thread: the largest body as text, and what is parsed of it. */
const heapMegabytes = 512;

/** Next to this file, with the same extension: source or compiled. */
const workerFile = new URL(import.meta.url.endsWith('.ts') ? './json-worker.ts' : './json-worker.js', import.meta.url);

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export function createJsonParser(): JsonParser {
  let worker: Worker | undefined;
  let next = 0;
  const waiting = new Map<number, Waiting>();
  const start = (): Worker => {
    const started = new Worker(workerFile, { resourceLimits: { maxOldGenerationSizeMb: heapMegabytes } });
    started.unref();
    started.on('message', (answer: JsonAnswer) => {
      const { resolve, reject } = waiting.get(answer.id) ?? {};
      waiting.delete(answer.id);
      if (waiting.size === 0) started.unref();
      if ('value' in answer) resolve?.(answer.value);
      else reject?.(refusal(answer.refused.message, answer.refused.statusCode));
    });
    started.on('error', () => {});
    started.once('exit', () => {
      worker = undefined;
      for (const { reject } of waiting.values()) reject(refusal('The body takes too much memory to be read.', 413));
      waiting.clear();
    });
    return started;
  };
  return {
    parse(body, limits) {
      if (body.length < large) return parseJson(body, limits);
      worker ??= start();
      worker.ref();
      const id = next++;
      const bytes = new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
      worker.postMessage({ id, bytes, limits } satisfies JsonTask, [body.buffer as ArrayBuffer]);
      return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    },
    async close() {
      await worker?.terminate();
    },
  };
}
