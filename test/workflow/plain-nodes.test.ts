/**
 * Nodes that need no network, against what ComfyUI's own node code gave for the same inputs (its Python run alone, PyTorch 2.13 on the CPU,
 * kornia 0.8.1). Tolerance 2e-6 for numbers near 1, which float32 sums in another order may differ by; texts are equal.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { parseExactJson } from '../../src/formats/exact-json.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import type { NodeContext } from '../../src/workflow/context-in-run.ts';
import { nodes } from '../../src/workflow/nodes/index.ts';
import type { ModelPatches, ModelValue } from '../../src/workflow/values/model.ts';
import { guided } from '../../src/workflow/sampling/denoise.ts';

type Packed = { readonly shape: readonly number[]; readonly data: readonly number[] };
interface Case {
  readonly node?: string;
  readonly guidance?: string;
  readonly operation?: string;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly outputs: readonly unknown[];
  readonly x: Packed;
  readonly conditional: Packed;
  readonly unconditional: Packed;
  readonly guided: Packed;
}

const file = new URL('../../fixtures/comfyui/plain-nodes/plain-nodes.json.gz', import.meta.url);
const cases = parseExactJson(gunzipSync(readFileSync(file)).toString(), 'the recorded nodes') as unknown as Case[];
const context = {} as NodeContext;

const isPacked = (value: unknown): value is Packed => typeof value === 'object' && value !== null && 'data' in value;
const unpacked = ({ shape, data }: Packed): Tensor<'float32'> => float32([...shape], Float32Array.from(data));
function inputOf(value: unknown): unknown {
  if (isPacked(value)) return unpacked(value);
  if (typeof value === 'object' && value !== null && 'latent' in value) return { samples: inputOf(value.latent) };
  return value;
}

function expectSame(found: unknown, wanted: unknown, name: string): void {
  if (typeof wanted === 'object' && wanted !== null && 'latent' in wanted) {
    expectSame((found as { samples: unknown }).samples, wanted.latent, name);
    return;
  }
  if (!isPacked(wanted)) {
    assert.equal(found, wanted, name);
    return;
  }
  const { shape, data } = found as Tensor<'float32'>;
  assert.deepEqual([...shape], wanted.shape, name);
  for (const [i, value] of wanted.data.entries()) {
    const difference = Math.abs((data[i] as number) - value);
    assert.ok(difference <= 2e-6 * Math.max(1, Math.abs(value)), `${name} at ${i}: ${data[i]}, recorded ${value}`);
  }
}

const nodeOf = (name: string) => nodes.get(name) ?? assert.fail(`There is no node ${name}.`);

test('nodes on pictures, latents and texts give what ComfyUI gives', async () => {
  const own = cases.filter(({ node }) => node !== undefined);
  assert.equal(own.length, 106);
  for (const [i, { node = '', inputs, outputs }] of own.entries()) {
    const given = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, inputOf(value)]));
    const made = (await nodeOf(node).run(given, context)) as readonly unknown[];
    for (const [slot, wanted] of outputs.entries()) expectSame(made[slot], wanted, `${node} ${i} slot ${slot}`);
  }
});

test('nodes that change the guidance give what ComfyUI gives', async () => {
  const own = cases.filter(({ guidance }) => guidance !== undefined);
  assert.equal(own.length, 4);
  for (const { guidance = '', inputs, outputs, ...given } of own) {
    const model = { patches: {} } as ModelValue;
    const [patched] = (await nodeOf(guidance).run({ model, ...inputs }, context)) as readonly [ModelValue];
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
    const [apply] = (await nodeOf(operation).run(inputs, context)) as readonly [(latent: unknown) => unknown];
    expectSame(apply(unpacked(x)), outputs[0], operation);
  }
});

test('a pattern that never ends runs apart from the server', () => {
  for (const name of ['RegexMatch', 'RegexExtract', 'RegexReplace']) assert.ok(nodeOf(name).canTakeLong, name);
});
