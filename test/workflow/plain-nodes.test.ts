/**
 * Nodes that need no network, against what ComfyUI's own node code gave for the same inputs (its Python run alone, PyTorch 2.13 on the CPU,
 * kornia 0.8.1). Tolerance 2e-6 for numbers near 1, which float32 sums in another order may differ by; texts are equal.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tensor } from '../../src/tensor/tensor.ts';
import type { ModelPatches, ModelValue } from '../../src/workflow/values/model.ts';
import { guided } from '../../src/workflow/sampling/denoise.ts';
import { expectRecorded, expectSame, nodeOf, noContext, recordedCases, unpacked } from './recorded-nodes.ts';

const cases = recordedCases('plain-nodes');

test('nodes on pictures, latents and texts give what ComfyUI gives', async () => {
  const own = cases.filter(({ node }) => node !== undefined);
  assert.equal(own.length, 106);
  for (const [i, one] of own.entries()) await expectRecorded(one, String(i));
});

test('nodes that change the guidance give what ComfyUI gives', async () => {
  const own = cases.filter(({ guidance }) => guidance !== undefined);
  assert.equal(own.length, 4);
  for (const { guidance = '', inputs, outputs, ...given } of own) {
    const model = { patches: {} } as ModelValue;
    const [patched] = (await nodeOf(guidance).run({ model, ...inputs }, noContext)) as readonly [ModelValue];
    const { beforeGuidance, afterGuidance }: ModelPatches = patched.patches;
    const [x, conditional, unconditional] = [given.x, given.conditional, given.unconditional].map(unpacked) as [
      Tensor<'float32'>,
      Tensor<'float32'>,
      Tensor<'float32'>,
    ];
    const parts = { x, sigma: 1, scale: 3, conditional, unconditional };
    if (outputs.length === 1) {
      const none = () => Promise.reject(new Error('no further prediction is needed'));
      const call = { predict: none, predictPrompt: none, signal: undefined };
      const result = await guided({ afterGuidance, guide: () => unpacked(given.guided) }, parts, call);
      expectSame(result, outputs[0], guidance);
      continue;
    }
    const changed = (beforeGuidance ?? []).reduce((before, change) => change(before), parts);
    expectSame(changed.conditional, outputs[0], `${guidance} conditional`);
    expectSame(changed.unconditional, outputs[1], `${guidance} unconditional`);
  }
});

test('operations on latents give what ComfyUI gives', async () => {
  const own = cases.filter(({ operation }) => operation !== undefined);
  assert.equal(own.length, 2);
  for (const { operation = '', inputs, outputs, x } of own) {
    const [apply] = (await nodeOf(operation).run(inputs, noContext)) as readonly [(latent: unknown) => unknown];
    expectSame(apply(unpacked(x)), outputs[0], operation);
  }
});

test('a pattern that never ends runs apart from the server', () => {
  for (const name of ['RegexMatch', 'RegexExtract', 'RegexReplace']) assert.ok(nodeOf(name).canTakeLong, name);
});
