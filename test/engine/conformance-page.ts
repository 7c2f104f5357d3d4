/** Runs in a page: the conformance suite on onnxruntime-web. The provider is the page's `?provider=`, WASM by default. */

import type { Engine } from '../../src/engine/engine.ts';
import { createWebEngine } from '../../src/engine/web.ts';
import { StableDiffusionError } from '../../src/errors.ts';
import { checks } from './conformance.ts';

const provider = new URLSearchParams(location.search).get('provider') === 'webgpu' ? 'webgpu' : 'wasm';

interface Result {
  readonly name: string;
  readonly error?: string;
  readonly code?: string;
}

function failed(name: string, error: unknown): Result {
  return {
    name,
    error: error instanceof Error ? error.message : String(error),
    ...(error instanceof StableDiffusionError ? { code: error.code } : {}),
  };
}

async function runAll(): Promise<Result[]> {
  const results: Result[] = [];
  let engine: Engine;
  try {
    engine = await createWebEngine({ provider, wasmPath: '/ort/', threads: 2 });
  } catch (error) {
    return [failed('start', error)];
  }
  for (const check of checks) {
    try {
      await check.run(engine);
      results.push({ name: check.name });
    } catch (error) {
      results.push(failed(check.name, error));
    }
  }
  await engine.dispose();
  return results;
}

Object.assign(globalThis, { results: runAll() });
