/** Weights times a factor that depends on the name of each tensor. */

import { toFloat32 } from '../tensor/convert.ts';
import { aliased, weightView } from './view.ts';
import type { WeightSource } from './weight-source.ts';

/** Every tensor times `factor` of its name, in float32, while it is read. A tensor of factor 1 keeps its bytes and its type. */
export function scaledWeights(source: WeightSource, factor: (name: string) => number): WeightSource {
  const entries = Array.from(source.entries.values(), ({ name }) => {
    const own = aliased(source, name);
    const times = factor(name);
    if (times === 1) return own;
    return {
      entry: { ...own.entry, dtype: 'float32' as const },
      async read(signal?: AbortSignal) {
        const x = toFloat32(await source.read(name, signal));
        return { ...x, data: x.data.map((value) => value * times) };
      },
    };
  });
  return weightView(source.label, entries, [source]);
}
