/** Recorded inputs and outputs of single nodes: tensors as lists of numbers. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { parseExactJson } from '../../src/formats/exact-json.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import type { NodeContext } from '../../src/workflow/context-in-run.ts';
import { nodes } from '../../src/workflow/nodes/index.ts';

export type Packed = { readonly shape: readonly number[]; readonly data: readonly number[] };
export interface Case {
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

export function recordedCases<T extends object = Case>(name: string): T[] {
  const file = new URL(`../../fixtures/comfyui/plain-nodes/${name}.json.gz`, import.meta.url);
  return parseExactJson(gunzipSync(readFileSync(file)).toString(), name) as unknown as T[];
}

export const noContext = {} as NodeContext;

const isPacked = (value: unknown): value is Packed => typeof value === 'object' && value !== null && 'data' in value;
export const unpacked = ({ shape, data }: Packed): Tensor<'float32'> => float32([...shape], Float32Array.from(data));
function inputOf(value: unknown): unknown {
  if (isPacked(value)) return unpacked(value);
  if (typeof value === 'object' && value !== null && 'latent' in value) return { samples: inputOf(value.latent) };
  return value;
}

export function expectSame(found: unknown, wanted: unknown, name: string): void {
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

export const nodeOf = (name: string) => nodes.get(name) ?? assert.fail(`There is no node ${name}.`);

/** Runs a recorded node and compares its outputs. */
export async function expectRecorded({ node = '', inputs, outputs }: Case, what: string): Promise<void> {
  const given = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, inputOf(value)]));
  const made = (await nodeOf(node).run(given, noContext)) as readonly unknown[];
  for (const [slot, wanted] of outputs.entries()) expectSame(made[slot], wanted, `${node} ${what} slot ${slot}`);
}
