/** The conformance suite on onnxruntime-web in headless Chromium: WASM, and WebGPU through SwiftShader where Chromium starts it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInPage, withoutBrowser } from './browser.ts';
import { checks } from './conformance.ts';

test('web engine (WASM): conformance', { skip: withoutBrowser }, async () => {
  const results = await runInPage('test/engine/conformance-page.ts');
  assert.deepEqual(
    results.map(({ name, error }) => ({ name, error })),
    checks.map(({ name }) => ({ name, error: undefined })),
  );
});

test('web engine (WebGPU, software driver): conformance', { skip: withoutBrowser }, async (t) => {
  const results = await runInPage('test/engine/conformance-page.ts', { query: '?provider=webgpu', webgpu: true });
  const [first] = results;
  if (first?.code === 'engine-unavailable') return t.skip(`Chromium offers no WebGPU adapter here: ${first.error}`);
  assert.deepEqual(
    results.map(({ name, error }) => ({ name, error })),
    checks.map(({ name }) => ({ name, error: undefined })),
  );
});
