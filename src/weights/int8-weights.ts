/** Weights in int8 with a scale for each output channel, made from floating-point weights as they are read. */

import { toFloat32 } from '../tensor/convert.ts';
import { float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { aliased, type ViewEntry, weightView } from './view.ts';
import { findEntry, type WeightSource } from './weight-source.ts';

/** What is made of rows of the tensor `source`, [out, in] or [out, in, kh, kw]. */
export interface Int8Entry {
  readonly source: string;
  readonly start: number;
  readonly end: number;
  /** Name of the int8 tensor [in, out] or [kh · kw · in, out]. */
  readonly weight: string;
  /** Name of the float32 tensor [out]. */
  readonly scale: string;
}

export interface Int8Tensors {
  readonly weight: Tensor<'int8'>;
  readonly scale: Tensor<'float32'>;
}

/** Rows read together, so that what is written lies together. */
const band = 64;

/** Rounds rows of a tensor to int8: each output channel by its largest weight, which becomes ±127. */
export function int8Of(from: Tensor, start = 0, end = from.shape[0] ?? 0): Int8Tensors {
  const { data } = toFloat32(from);
  const [, inner = 1, ...kernel] = from.shape;
  const window = kernel.reduce((product, size) => product * size, 1);
  const length = inner * window;
  const count = end - start;
  const scale = new Float32Array(count);
  const weight = new Int8Array(count * length);
  for (let row = 0; row < count; row++) {
    const at = (start + row) * length;
    let largest = 0;
    for (let i = at; i < at + length; i++) largest = Math.max(largest, Math.abs(data[i] as number));
    scale[row] = largest / 127;
  }
  for (let first = 0; first < count; first += band) {
    const last = Math.min(first + band, count);
    for (let i = 0; i < length; i++) {
      // [in, kh · kw] → [kh · kw, in].
      const place = ((i % window) * inner + Math.floor(i / window)) * count;
      for (let row = first; row < last; row++) {
        const step = scale[row] as number;
        const value = step === 0 ? 0 : (data[(start + row) * length + i] as number) / step;
        weight[place + row] = Math.floor(value + 0.5);
      }
    }
  }
  return { weight: tensor('int8', [length, count], weight), scale: float32([count], scale) };
}

/** `source` with further tensors in int8. A scale is kept from when its weights are read. */
export function int8Weights(source: WeightSource, parts: readonly Int8Entry[]): WeightSource {
  const scales = new Map<string, Tensor<'float32'>>();
  const made = async (part: Int8Entry, signal?: AbortSignal): Promise<Int8Tensors> => {
    const both = int8Of(await source.read(part.source, signal), part.start, part.end);
    scales.set(part.scale, both.scale);
    return both;
  };
  const entries = parts.flatMap((part): ViewEntry[] => {
    const { shape } = findEntry(source.label, source.entries, part.source);
    const count = part.end - part.start;
    const length = shape.slice(1).reduce((product, size) => product * size, 1);
    return [
      {
        entry: { name: part.weight, dtype: 'int8', shape: [length, count] },
        read: async (signal) => (await made(part, signal)).weight,
      },
      {
        entry: { name: part.scale, dtype: 'float32', shape: [count] },
        read: async (signal) => scales.get(part.scale) ?? (await made(part, signal)).scale,
      },
    ];
  });
  const kept = Array.from(source.entries.keys(), (name) => aliased(source, name));
  return weightView(source.label, [...kept, ...entries], [source]);
}
