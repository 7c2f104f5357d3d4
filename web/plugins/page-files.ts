/** Which files lie beside the page, and where they come from: ONNX Runtime's and the pocket model's. They are copied, not bundled. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const repository = join(import.meta.dirname, '../..');
const runtimePackage = join(repository, 'node_modules/onnxruntime-web');

/** Plain WASM, and the build that calls WebGPU. */
const runtimeFiles = [
  'ort-wasm-simd-threaded.mjs',
  'ort-wasm-simd-threaded.wasm',
  'ort-wasm-simd-threaded.asyncify.mjs',
  'ort-wasm-simd-threaded.asyncify.wasm',
];
const modelFiles = ['pocket.safetensors', 'pocket.yaml'];

/** Their paths in the page, and on this disk. */
export const pageFiles: ReadonlyMap<string, string> = new Map([
  ...runtimeFiles.map((file) => [`ort/${file}`, join(runtimePackage, 'dist', file)] as const),
  ...modelFiles.map((file) => [`models/${file}`, join(repository, 'models', file)] as const),
]);

export function runtimeVersion(): string {
  return (JSON.parse(readFileSync(join(runtimePackage, 'package.json'), 'utf8')) as { readonly version: string })
    .version;
}
