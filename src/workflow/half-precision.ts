/** Weights rounded to float16, as ComfyUI keeps text encoders; computed with in float32. */

import { convert, toFloat32 } from '../tensor/convert.ts';
import { aliased, weightView } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';

/** A view whose floating-point tensors have the values that float16 holds. */
export function inHalfPrecision(source: WeightSource): WeightSource {
  const entries = Array.from(source.entries.values(), ({ name, dtype }) => {
    const own = aliased(source, name);
    if (dtype === 'float16' || !dtype.includes('float')) return own;
    return {
      entry: { ...own.entry, dtype: 'float32' as const },
      read: async (signal?: AbortSignal) => toFloat32(convert(await source.read(name, signal), 'float16')),
    };
  });
  return weightView(source.label, entries, [source]);
}
