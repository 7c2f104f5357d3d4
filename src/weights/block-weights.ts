/** Weights in blocks of 32 numbers as parameters of a graph: the numbers and the scales of rows of a matrix. */

import { float32, tensor } from '../tensor/tensor.ts';
import { StableDiffusionError } from '../errors.ts';
import { aliased, type ViewEntry, weightView } from './view.ts';
import type { BlockValues, WeightSource } from './weight-source.ts';

/** What is made of rows start … end - 1 of a matrix. */
export interface BlockEntry {
  readonly source: string;
  readonly start: number;
  readonly end: number;
  /** Name of the uint8 tensor, and its shape. */
  readonly weight: string;
  readonly shape: readonly [rows: number, blocks: number, bytes: number];
  /** Name of the float32 tensor [rows, blocks]. */
  readonly scale: string;
}

/** `source` with the parameters of `parts`. Scales are kept from when the numbers are read. */
export function blockWeights(source: WeightSource, parts: readonly BlockEntry[]): WeightSource {
  const kept = new Map<string, Float32Array>();
  const read = async ({ source: name }: BlockEntry, signal?: AbortSignal): Promise<BlockValues> => {
    const values = await source.blocks?.(name)?.read(signal);
    if (values) return values;
    throw new StableDiffusionError('weights-mismatch', `${source.label} has no blocks of ${name}.`);
  };
  const rowsOf = <T extends Uint8Array | Float32Array>(all: T, { start, end }: BlockEntry, row: number): T =>
    all.slice(start * row, end * row) as T;
  const entries = parts.flatMap((part): ViewEntry[] => {
    const [rows, blocks, bytes] = part.shape;
    const scalesOf = ({ scales }: BlockValues): Float32Array => rowsOf(scales, part, blocks);
    return [
      {
        entry: { name: part.weight, dtype: 'uint8', shape: part.shape },
        async read(signal) {
          const values = await read(part, signal);
          kept.set(part.scale, scalesOf(values));
          return tensor('uint8', part.shape, rowsOf(values.numbers, part, blocks * bytes));
        },
      },
      {
        entry: { name: part.scale, dtype: 'float32', shape: [rows, blocks] },
        async read(signal) {
          const own = kept.get(part.scale) ?? scalesOf(await read(part, signal));
          kept.delete(part.scale);
          return float32([rows, blocks], own);
        },
      },
    ];
  });
  const others = Array.from(source.entries.keys(), (name) => aliased(source, name));
  return weightView(source.label, [...others, ...entries], [source]);
}
