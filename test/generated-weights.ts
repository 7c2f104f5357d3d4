/** Weights made by the rule in a reference case's `weights.json`, for networks too large to be recorded. */

import { readFileSync } from 'node:fs';
import { elementCount, float32, type Tensor } from '../src/tensor/tensor.ts';

interface WeightsFile {
  readonly first_values: Readonly<Record<string, readonly number[]>>;
  readonly tensors: readonly (readonly [
    name: string,
    shape: readonly number[],
    offset: number,
    center: number,
    halfWidth: number,
  ])[];
}

/** murmur3's finaliser over a Weyl sequence, as a fraction in [0, 1). */
function fraction(index: number): number {
  let x = Math.imul(index >>> 0, 0x9e3779b9);
  x ^= x >>> 16;
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  x ^= x >>> 16;
  return (x >>> 0) / 2 ** 32;
}

/** Every tensor of `path`, a weights.json. Throws where the first values that the file gives differ. */
export function generateWeights(path: string): ReadonlyMap<string, Tensor> {
  const file: WeightsFile = JSON.parse(readFileSync(path, 'utf8'));
  const weights = new Map<string, Tensor>();
  for (const [name, shape, offset, center, halfWidth] of file.tensors) {
    const data = Float32Array.from(
      { length: elementCount(shape) },
      (_, i) => center + halfWidth * (2 * fraction(i + offset) - 1),
    );
    weights.set(name, { dtype: 'float32', shape, data });
  }
  for (const [name, values] of Object.entries(file.first_values)) {
    const made = weights.get(name)?.data;
    if (!values.every((value, i) => made?.[i] === Math.fround(value)))
      throw new Error(`${path}: ${name} does not begin with ${values.join(', ')}`);
  }
  return weights;
}

/** The same; batch norms, whose statistics the rule leaves out, have mean 0 and variance 1. */
export function generateNormalisedWeights(path: string): Map<string, Tensor> {
  const weights = new Map<string, Tensor>(generateWeights(path));
  for (const [name, { shape }] of [...weights]) {
    const scope = name.replace(/\.weight$/, '');
    if (shape.length !== 1 || scope === name) continue;
    weights.set(`${scope}.running_mean`, float32(shape, new Float32Array(shape[0] ?? 0)));
    weights.set(`${scope}.running_var`, float32(shape, new Float32Array(shape[0] ?? 0).fill(1)));
  }
  return weights;
}
