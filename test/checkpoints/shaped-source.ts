/** WeightSources for tests: names and shapes alone, or small tensors whose every element differs. */

import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { elementCount, type Shape, type Tensor, tensor } from '../../src/tensor/tensor.ts';

/** Names and shapes; reading any tensor is a failure of the test. */
export function shapedSource(shapes: Iterable<readonly [string, Shape]>, label = 'names and shapes'): WeightSource {
  return {
    label,
    entries: new Map(Array.from(shapes, ([name, shape]) => [name, { name, dtype: 'float32' as const, shape }])),
    async read(name) {
      throw new Error(`${name} was read`);
    },
    async close() {},
  };
}

/** Tensors filled with consecutive numbers. */
export function numberedSource(shapes: Iterable<readonly [string, Shape]>): WeightSource {
  let next = 0;
  const tensors = new Map<string, Tensor>();
  for (const [name, shape] of shapes)
    tensors.set(
      name,
      tensor(
        'float32',
        shape,
        Float32Array.from({ length: elementCount(shape) }, () => next++),
      ),
    );
  return memoryWeights(tensors);
}

/** Names with shapes, sorted: what two sources are compared by. */
export function shapesOf(source: WeightSource): string[] {
  return Array.from(source.entries.values(), ({ name, shape }) => `${name} [${shape.join(', ')}]`).sort();
}

/** All tensors, by name. */
export async function readAll(source: WeightSource): Promise<Map<string, Tensor>> {
  const tensors = new Map<string, Tensor>();
  for (const name of [...source.entries.keys()].sort()) tensors.set(name, await source.read(name));
  return tensors;
}
