/** A WeightSource over tensors in memory. */

import { StableDiffusionError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from './weight-source.ts';

export function memoryWeights(tensors: ReadonlyMap<string, Tensor>, label = 'weights in memory'): WeightSource {
  return {
    label,
    entries: new Map([...tensors].map(([name, { dtype, shape }]) => [name, { name, dtype, shape }])),
    async read(name) {
      const found = tensors.get(name);
      if (!found) throw new StableDiffusionError('weights-mismatch', `${label} has no tensor ${name}.`);
      return { ...found, data: found.data.slice() } as Tensor;
    },
    async close() {},
  };
}
