/** onnxruntime-web: how it is loaded, its errors as the library's, and calls in turn. */

import type { InferenceSessionFactory, TensorConstructor } from 'onnxruntime-common';
import { StableDiffusionError } from '../errors.ts';

/** How the runtime is loaded. */
export interface RuntimeOptions {
  readonly provider?: 'wasm' | 'webgpu';
  readonly wasmPath?: string;
  readonly threads?: number;
}

export interface Runtime {
  readonly InferenceSession: InferenceSessionFactory;
  readonly Tensor: TensorConstructor;
  readonly env: { readonly wasm: { wasmPaths?: unknown; numThreads?: number }; logLevel?: string };
}

export async function loadRuntime(options: RuntimeOptions): Promise<Runtime> {
  const runtime: Runtime =
    options.provider === 'webgpu' ? await import('onnxruntime-web/webgpu') : await import('onnxruntime-web/wasm');
  if (options.wasmPath !== undefined)
    runtime.env.wasm.wasmPaths = new URL(options.wasmPath, globalThis.location?.href).href;
  if (options.threads !== undefined) runtime.env.wasm.numThreads = options.threads;
  runtime.env.logLevel = 'error';
  return runtime;
}

/** WASM throws bare numbers (addresses of C++ exceptions) as well as errors. */
export function webFailure(error: unknown): StableDiffusionError {
  const text = error instanceof Error ? error.message : `error ${String(error)}`;
  if (/bad_alloc|out of memory/i.test(text)) {
    return new StableDiffusionError(
      'too-large',
      'The browser has no memory left for this. Make a smaller picture, or fewer at once.',
      { cause: error },
    );
  }
  return new StableDiffusionError('engine-failed', `ONNX Runtime failed: ${text}`, { cause: error });
}

/** Calls of one after the other: a session does not take a second run before the first has ended. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
