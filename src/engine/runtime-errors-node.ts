/** Translates ONNX Runtime's errors to the library's. */

import { StableDiffusionError } from '../errors.ts';

/** The runtime's messages if a provider's libraries or its device are missing. */
const providerMissing =
  /get a WebGPU adapter|No supported adapters|load shared library|onnxruntime_providers_|backend not found/i;

/** An error of a request. */
export function runtimeError(message: string): StableDiffusionError {
  if (!providerMissing.test(message))
    return new StableDiffusionError('engine-failed', `ONNX Runtime failed: ${message}`);
  const needs = /cuda/i.test(message)
    ? "CUDA needs an NVIDIA GPU with its driver, CUDA 12, cuDNN 9, and ONNX Runtime's libraries for it (npm_config_onnxruntime_node_install=cuda12 npm rebuild onnxruntime-node)"
    : 'WebGPU needs a graphics driver: on Linux the Vulkan loader (libvulkan.so.1) and a Vulkan driver that Dawn accepts';
  return new StableDiffusionError(
    'engine-unavailable',
    `This machine lacks what the provider needs. ${needs}. Install that, or compute on the CPU. ONNX Runtime says: ${message}`,
  );
}

/** Node's messages if the runtime's native library cannot be loaded. */
const libraryMissing = /onnxruntime_binding|onnxruntime-node|libonnxruntime|ERR_DLOPEN_FAILED|dlopen/i;

/** The reason why the worker thread ended. */
export function threadError(cause: unknown): StableDiffusionError {
  const message = cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (!libraryMissing.test(`${code} ${message}`))
    return new StableDiffusionError('engine-failed', `The engine stopped: ${message}.`, { cause });
  if (code === 'ERR_MODULE_NOT_FOUND')
    return new StableDiffusionError(
      'engine-unavailable',
      'onnxruntime-node is not installed, and this device needs it. To install it: ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node. Without it: --device wasm.',
      { cause },
    );
  return new StableDiffusionError(
    'engine-unavailable',
    `ONNX Runtime has no native library that loads on this machine (${process.platform} ${process.arch}). It has one for Linux with glibc (x64, arm64), macOS (arm64) and Windows (x64, arm64). Elsewhere WebAssembly stands in for it (--device wasm). Node says: ${message}`,
    { cause },
  );
}
