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
  /** Name of the int8 tensor. */
  readonly weight: string;
  /** Its shape: [in, out] or [kh · kw · in, out], or that of the rows themselves. */
  readonly shape: readonly number[];
  /** Name of the float32 tensor [out]. */
  readonly scale: string;
}

export interface Int8Tensors {
  readonly weight: Tensor<'int8'>;
  readonly scale: Tensor<'float32'>;
}

/** Rows read together, so that what is written lies together. */
const band = 32;

/** Rows of a tensor, as numbers with `length` to a row. */
interface Rows {
  readonly data: Float32Array;
  /** Where the first one begins. */
  readonly at: number;
  readonly count: number;
  readonly length: number;
}

/** The number that a row's largest weight becomes: of the whole range, or of half of it where products saturate. */
export const largestInt8 = { whole: 127, half: 63 } as const;

/** What one step is worth in each row: its largest weight becomes ±`most`. */
function scalesOf({ data, at, count, length }: Rows, most: number): Float32Array {
  const scale = new Float32Array(count);
  for (let row = 0; row < count; row++) {
    const first = at + row * length;
    let largest = 0;
    for (let i = first; i < first + length; i++) {
      const size = Math.abs(data[i] as number);
      if (size > largest) largest = size;
    }
    scale[row] = largest / most;
  }
  return scale;
}

/** The nearest whole number to x from -127 to 127; the half above. */
const nearest = (x: number): number => ((x + 128.5) | 0) - 128;

/** Factors that bring each row's weights to -127 … 127. */
const factorsOf = (scale: Float32Array): Float64Array =>
  Float64Array.from(scale, (step) => (step === 0 ? 0 : 1 / step));

/** Rounded, in the same order. */
function roundedRows({ data, at, count, length }: Rows, scale: Float32Array): Int8Array<ArrayBuffer> {
  const weight = new Int8Array(count * length);
  const factors = factorsOf(scale);
  for (let row = 0; row < count; row++) {
    const factor = factors[row] as number;
    for (let i = row * length; i < (row + 1) * length; i++) weight[i] = nearest((data[at + i] as number) * factor);
  }
  return weight;
}

/** Channels taken together, so that what is read of a band stays in the processor's first cache. */
const tile = 16;

/** Rounded, [count, in, window] → [window, in, count]. */
function roundedColumns(rows: Rows, window: number, scale: Float32Array): Int8Array<ArrayBuffer> {
  const { data, at, count, length } = rows;
  const weight = new Int8Array(count * length);
  const factors = factorsOf(scale);
  const inner = length / window;
  for (let first = 0; first < count; first += band) {
    const last = Math.min(first + band, count);
    for (let start = 0; start < inner; start += tile) {
      const end = Math.min(start + tile, inner);
      for (let element = 0; element < window; element++) {
        for (let channel = start; channel < end; channel++) {
          const place = (element * inner + channel) * count;
          let from = at + first * length + channel * window + element;
          for (let row = first; row < last; row++, from += length)
            weight[place + row] = nearest((data[from] as number) * (factors[row] as number));
        }
      }
    }
  }
  return weight;
}

/** Rounds rows of a tensor to int8: each output channel by its largest weight, which becomes ±`most`. */
export function int8Of(
  from: Tensor,
  part: Pick<Int8Entry, 'start' | 'end' | 'shape'>,
  most: number = largestInt8.whole,
): Int8Tensors {
  const { data } = toFloat32(from);
  const [, inner = 1, ...kernel] = from.shape;
  const window = kernel.reduce((product, size) => product * size, 1);
  const length = inner * window;
  const count = part.end - part.start;
  const rows = { data, at: part.start * length, count, length };
  const scale = scalesOf(rows, most);
  const asStored = part.shape.length === from.shape.length && from.shape.length > 2;
  const weight = asStored ? roundedRows(rows, scale) : roundedColumns(rows, window, scale);
  return { weight: tensor('int8', part.shape, weight), scale: float32([count], scale) };
}

/** A whole tensor rounded in its own order. */
export const int8Rows = (from: Tensor): Int8Tensors => {
  const { data } = toFloat32(from);
  const count = from.shape[0] ?? 0;
  const rows = { data, at: 0, count, length: data.length / count };
  const scale = scalesOf(rows, largestInt8.whole);
  return { weight: tensor('int8', from.shape, roundedRows(rows, scale)), scale: float32([count], scale) };
};

/** `source` with further tensors in int8, of numbers up to `most`. A scale is kept from when its weights are read. */
export function int8Weights(
  source: WeightSource,
  parts: readonly Int8Entry[],
  most: number = largestInt8.whole,
): WeightSource {
  const scales = new Map<string, Tensor<'float32'>>();
  const made = async (part: Int8Entry, signal?: AbortSignal): Promise<Int8Tensors> => {
    const both = int8Of(await source.read(part.source, signal), part, most);
    scales.set(part.scale, both.scale);
    return both;
  };
  const entries = parts.flatMap((part): ViewEntry[] => {
    findEntry(source.label, source.entries, part.source);
    const count = part.end - part.start;
    return [
      {
        entry: { name: part.weight, dtype: 'int8', shape: part.shape },
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
