/** WASM's 4 GiB: large networks' weights are kept as float16, and larger ones are refused before they are read. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInPage, withoutBrowser } from './browser.ts';

interface Found {
  readonly kept: readonly number[];
  readonly before: readonly number[];
  readonly exact: readonly number[];
  readonly refusal: string | undefined;
}

test('web engine (WASM): weights kept as float16 compute as weights rounded to float16', {
  skip: withoutBrowser,
}, async () => {
  const { kept, before, exact, refusal } = await runInPage<Found>('test/engine/halved-page.ts');
  const farthest = (a: readonly number[], b: readonly number[]): number =>
    Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? Number.NaN))));
  assert.equal(kept.length, 2 * 36 * 8);
  assert.ok(farthest(kept, before) < 1e-4, `they differ by ${farthest(kept, before)}`);
  assert.ok(farthest(kept, exact) > 1e-4, 'the weights were rounded');
  assert.match(refusal ?? '', /^too-large: A network of huge\.safetensors has 3\.2 GB of weights/);
});
