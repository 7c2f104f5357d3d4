/**
 * Nodes on latents, pictures and masks of unlike sizes and batches, against what ComfyUI 0.3.64's own node code gave for the same inputs
 * (PyTorch 2.13 on the CPU). Tolerance 2e-6 for numbers near 1.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Case, expectRecorded, nodeOf, noContext, recordedCases } from './recorded-nodes.ts';

test('latents, pictures and masks of unlike sizes and batches give what ComfyUI gives', async () => {
  const cases = recordedCases<Case>('odd-shapes').filter(({ node }) => node !== 'AlignYourStepsScheduler');
  assert.equal(cases.length, 12);
  for (const [i, one] of cases.entries()) await expectRecorded(one, String(i));
});

test('aligned steps that round to none leave the last level, 0', async () => {
  const node = nodeOf('AlignYourStepsScheduler');
  const inputs = { model_type: 'SDXL', steps: 1 };
  assert.deepEqual(await node.run({ ...inputs, denoise: 0.42 }, noContext), [Float32Array.of(0)]);
  assert.deepEqual(await node.run({ ...inputs, denoise: 0 }, noContext), [new Float32Array()]);
});
