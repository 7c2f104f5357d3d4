/** Made-up files by the key lists of full-size models: names and shapes without values. */

import { basename } from 'node:path';
import { keysOf } from '../../bench/key-lists.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { shapedSource } from '../checkpoints/shaped-source.ts';

/** Names and shapes, with the schedule's buffers and the one norm that tells v-prediction. Reading any other tensor is a failure. */
export function keySource(path: string, spread = 0): WeightSource {
  const shaped = shapedSource(
    [...keysOf(path)].map(([name, { shape }]) => [name, shape] as const),
    basename(path),
  );
  const betas = stableDiffusionBetas();
  return {
    ...shaped,
    async read(name) {
      const { shape = [0] } = shaped.entries.get(name) ?? {};
      const count = shape[0] ?? 0;
      if (name === 'betas') return float32([count], betas);
      if (name.endsWith('norm1.bias'))
        return float32(
          [count],
          Array.from({ length: count }, (_, i) => (i % 2 ? spread : -spread)),
        );
      return shaped.read(name);
    },
  };
}

/** Linear in the square root from 0.00085 to 0.012. */
function stableDiffusionBetas(): number[] {
  const [from, to] = [Math.sqrt(0.00085), Math.sqrt(0.012)];
  return Array.from({ length: 1000 }, (_, i) => (from + ((to - from) * i) / 999) ** 2);
}
