/** Weights rounded to a narrower type, as ComfyUI keeps text encoders and, where a loader says so, UNets; computed with in float32. */

import { convert, toFloat32 } from '../tensor/convert.ts';
import { roundToFloat8 } from '../tensor/float8-rounding.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { aliased, weightView } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';

function rounded(source: WeightSource, kept: string, round: (value: Tensor) => Tensor<'float32'>): WeightSource {
  const entries = Array.from(source.entries.values(), ({ name, dtype }) => {
    const own = aliased(source, name);
    if (dtype === kept || !dtype.includes('float')) return own;
    return {
      entry: { ...own.entry, dtype: 'float32' as const },
      read: async (signal?: AbortSignal) => round(await source.read(name, signal)),
    };
  });
  return weightView(source.label, entries, [source]);
}

/** A view whose floating-point tensors have the values that float16 holds. */
export const inHalfPrecision = (source: WeightSource): WeightSource =>
  rounded(source, 'float16', (value) => toFloat32(convert(value, 'float16')));

/** A view whose floating-point tensors have the values that a float8 holds. */
export const inFloat8 = (source: WeightSource, dtype: 'float8_e4m3fn' | 'float8_e5m2'): WeightSource =>
  rounded(source, dtype, (value) => {
    const wide = toFloat32(value);
    return { ...wide, data: wide.data.map((one) => roundToFloat8(one, dtype)) };
  });
