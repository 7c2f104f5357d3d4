/** A recorded training case: its tensors, its tolerances, and the comparison of all its outputs. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { convert, toFloat32 } from '../../src/tensor/convert.ts';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { compareTensor } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors, type Tensors } from '../tensors.ts';

export interface RecordedCase {
  readonly name: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly tensors: Tensors;
  readonly tolerance: Readonly<Record<string, number>>;
  readonly scalars: Readonly<Record<string, { readonly float32: number; readonly float64: number }>>;
  readonly extra: Readonly<Record<string, unknown>>;
  /** The tensor in.NAME. */
  readonly input: (name: string) => Tensor;
}

interface IndexEntry {
  readonly case: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** A case by its name in training/index.json, e.g. `nets/unet_adm`. */
export function readCase(name: string): RecordedCase {
  const index: { readonly cases: readonly IndexEntry[] } = JSON.parse(
    readFileSync(reference('training/index.json'), 'utf8'),
  );
  const entry = index.cases.find((item) => item.case === name);
  assert.ok(entry, `training/index.json has no case ${name}`);
  const side = JSON.parse(readFileSync(reference(`training/${name}.json`), 'utf8'));
  const tensors = readTensors(reference(`training/${name}.safetensors`));
  return {
    name,
    settings: entry.settings,
    tensors,
    tolerance: side.tolerance,
    scalars: side.scalars,
    extra: side.extra ?? {},
    input: (own) => pick(tensors, `in.${own}`),
  };
}

/** Weights that the set keeps in float16, as float32. */
export function readWeights(path: string): Map<string, Tensor> {
  return new Map(
    [...readTensors(reference(`training/${path}.weights.safetensors`))].map(([name, value]) => [
      name,
      toFloat32(value),
    ]),
  );
}

/** Every fourth slice of axis 0, as `[::4]` in the names of large gradients. */
function everyFourth(value: Tensor): Tensor {
  const [rows = 1, ...rest] = value.shape;
  const each = value.data.length / rows;
  const kept = Array.from({ length: Math.ceil(rows / 4) }, (_, i) => i * 4);
  const data = new Float32Array(kept.length * each);
  for (const [i, row] of kept.entries())
    data.set(toFloat32(value).data.subarray(row * each, (row + 1) * each), i * each);
  return float32([kept.length, ...rest], data);
}

export function norm(value: Tensor): number {
  let sum = 0;
  for (const element of value.data) sum += Number(element) ** 2;
  return Math.sqrt(sum);
}

/** A tensor that was made under `name`, also as `NAME[::4]` or `norm.NAME`. */
function derive(name: string, got: (name: string) => Tensor | undefined): Tensor | undefined {
  const direct = got(name);
  if (direct) return direct;
  if (name.endsWith('[::4]')) {
    const whole = got(name.slice(0, -5));
    return whole && everyFourth(whole);
  }
  const whole = name.startsWith('norm.') ? got(name.slice(5)) : undefined;
  return whole && float32([], [norm(whole)]);
}

export interface CompareOptions {
  /** Outputs that are compared elsewhere or not at all. */
  readonly skip?: (name: string) => boolean;
}

/** Compares every output with a tolerance; fails on those that were not made. */
export function compareCase(
  recorded: RecordedCase,
  got: (name: string) => Tensor | undefined,
  options: CompareOptions = {},
): void {
  const missing: string[] = [];
  for (const [key, tolerance] of Object.entries(recorded.tolerance)) {
    const name = key.slice('out.'.length);
    if (options.skip?.(name)) continue;
    const found = derive(name, got);
    if (!found) {
      missing.push(name);
      continue;
    }
    const scalar = recorded.scalars[key];
    const want = scalar ? float32(found.shape, [scalar.float32]) : pick(recorded.tensors, key);
    const converted = (found.dtype as string) === want.dtype ? found : convert(found, want.dtype);
    compareTensor(
      { part: 'training', case: recorded.name, output: key, tolerance },
      tensor(want.dtype, want.shape, converted.data as never),
      want,
    );
  }
  assert.deepEqual(missing, [], 'outputs that were not made');
}
