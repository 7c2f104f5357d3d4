/** Made-up files by the key lists of full-size models: names and shapes without values. */

import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { float32, type Shape } from '../../src/tensor/tensor.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { shapedSource } from '../checkpoints/shaped-source.ts';

type KeyRow = readonly [name: string, shape: Shape, ...more: unknown[]];

interface KeyList {
  /** The list that this one is a difference to, with a remark behind the name. */
  readonly as?: string;
  readonly removed?: readonly string[];
  readonly set?: readonly KeyRow[];
  readonly keys?: readonly KeyRow[];
}

/** Names and shapes of a list, which may be a difference to another. */
function keysOf(path: string): Map<string, Shape> {
  const list: KeyList = JSON.parse(readFileSync(path, 'utf8'));
  const [other] = list.as?.split(',') ?? [];
  const all = other === undefined ? new Map<string, Shape>() : keysOf(join(dirname(path), other));
  for (const removed of list.removed ?? []) all.delete(removed);
  for (const [key, shape] of list.set ?? list.keys ?? []) all.set(key, shape);
  return all;
}

/** Names and shapes, with the schedule's buffers and the one norm that tells v-prediction. Reading any other tensor is a failure. */
export function keySource(path: string, spread = 0): WeightSource {
  const shaped = shapedSource(keysOf(path), basename(path));
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
