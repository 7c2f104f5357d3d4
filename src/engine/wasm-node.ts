/**
 * The engine in Node where ONNX Runtime has no native library (Intel Macs, Alpine Linux) or npm could not install it: onnxruntime-web's
 * WebAssembly, several times slower. It computes on the thread that calls it.
 */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Engine } from './engine.ts';
import type { Runtime } from './runtime-web.ts';
import { WebEngine } from './web.ts';

/** Alpine and its kind have musl's loader and not glibc's. */
const isMusl = (): boolean =>
  process.platform === 'linux' &&
  ['x86_64', 'aarch64'].some((name) => existsSync(`/lib/ld-musl-${name}.so.1`)) &&
  !existsSync('/lib64/ld-linux-x86-64.so.2') &&
  !existsSync('/lib/ld-linux-aarch64.so.1');

/** Why onnxruntime-node has no native library for a machine, by default this one, as a sentence; undefined if it has one. */
export function nativeRuntimeFault(
  platform: string = process.platform,
  arch: string = process.arch,
  resolve: (name: string) => string = createRequire(import.meta.url).resolve,
): string | undefined {
  const missing = `ONNX Runtime has no native library for ${platform} ${arch}`;
  if (isMusl()) return `${missing} with musl`;
  let entry: string;
  try {
    entry = resolve('onnxruntime-node');
  } catch {
    // npm leaves an optional dependency out whose install script fails, as this one does where it cannot download CUDA's libraries.
    return 'onnxruntime-node is not installed; to install it: ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node';
  }
  const folder = join(dirname(entry), '../bin/napi-v6', platform, arch);
  return existsSync(join(folder, 'onnxruntime_binding.node')) ? undefined : missing;
}

async function loadRuntime(threads: number | undefined): Promise<Runtime> {
  const runtime = (await import('onnxruntime-web')) as unknown as Runtime;
  if (threads !== undefined) runtime.env.wasm.numThreads = threads;
  runtime.env.logLevel = 'error';
  return runtime;
}

/** Starts an engine on WebAssembly in Node. The runtime is loaded when the first graph is compiled. */
export function createWasmEngine({ threads }: { readonly threads?: number | undefined } = {}): Engine {
  return new WebEngine('wasm', () => loadRuntime(threads));
}
