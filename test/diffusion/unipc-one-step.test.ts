/** UniPC over one step, against ComfyUI 0.3.64's `sample_unipc`: its loop evaluates and makes no update. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleUniPcSigma } from '../../src/diffusion/samplers/unipc.ts';
import { float32 } from '../../src/tensor/tensor.ts';

test('a run of one step leaves x in the scale of the last level', async () => {
  const x = float32([1, 1, 1, 2], Float32Array.of(3, -6));
  let calls = 0;
  const denoise = async () => {
    calls += 1;
    return float32([1, 1, 1, 2], Float32Array.of(7, 7));
  };
  const run = sampleUniPcSigma(denoise, x, [2, 0], { variant: 'bh2' });
  const first = await run.next();
  assert.equal(first.done, false);
  const last = await run.next();
  assert.ok(last.done);
  const factor = Math.sqrt((1 + 0.001 ** 2) / (1 + 2 ** 2));
  for (const [i, value] of [3, -6].entries())
    assert.ok(Math.abs((last.value.data[i] as number) - value * factor) < 1e-6);
  assert.equal(calls, 1);
});
