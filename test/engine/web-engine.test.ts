/** The conformance suite on onnxruntime-web in headless Chromium, WASM provider. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInPage, withoutBrowser } from './browser.ts';
import { checks } from './conformance.ts';

test('web engine (WASM): conformance', { skip: withoutBrowser }, async () => {
  const results = await runInPage('test/engine/conformance-page.ts');
  assert.deepEqual(results.map(({ name, error }) => ({ name, error })), checks.map(({ name }) => ({ name, error: undefined })));
});
