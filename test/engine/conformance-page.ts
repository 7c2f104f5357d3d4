/** Runs in a page: the conformance suite on onnxruntime-web. The provider is the URL-free global the bundle is given. */

import { createWebEngine } from '../../src/engine/web.ts';
import { checks } from './conformance.ts';

async function runAll(): Promise<{ name: string; error?: string }[]> {
  const results: { name: string; error?: string }[] = [];
  for (const check of checks) {
    const engine = await createWebEngine({ provider: 'wasm', wasmPath: '/ort/', threads: 2 });
    try {
      await check.run(engine);
      results.push({ name: check.name });
    } catch (error) {
      results.push({ name: check.name, error: error instanceof Error ? error.message : String(error) });
    }
    await engine.dispose();
  }
  return results;
}

Object.assign(globalThis, { results: runAll() });
