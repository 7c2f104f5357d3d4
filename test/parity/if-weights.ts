/** Weights of a recorded UNet of DeepFloyd IF under diffusers' names: rows of the original's tensors, as its `keymap.json` says. */

import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { tensor, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import type { LineageCase } from './lineage-case.ts';

interface Place {
  readonly from: string;
  readonly shape: readonly number[];
  readonly rows?: readonly number[];
}

/** `from` is the folder of the UNet's case, from that of this one. */
export async function ifWeights(recorded: LineageCase, from: string): Promise<WeightSource> {
  const original = recorded.weights('original', `${from}/original`);
  const map: Readonly<Record<string, Place>> = JSON.parse(
    readFileSync(join(recorded.folder, from, 'keymap.json'), 'utf8'),
  );
  const tensors = new Map<string, Tensor>();
  for (const [name, place] of Object.entries(map)) {
    const whole = (await original.read(place.from)) as Tensor<'float32'>;
    const size = whole.data.length / (whole.shape[0] ?? 1);
    const data = place.rows
      ? Float32Array.from(place.rows.flatMap((row) => [...whole.data.subarray(row * size, (row + 1) * size)]))
      : whole.data;
    tensors.set(name, tensor('float32', place.shape, data));
  }
  return memoryWeights(tensors);
}
