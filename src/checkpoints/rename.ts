/**
 * Layout maps: which tensor of one layout is which of another, as data.
 *
 * A map is a list of rows between layout `a` and layout `b`. Most rows only rename; a row may also say that the bytes are the same under
 * another shape (a 1x1 convolution and a linear layer), transposed, or that one tensor of `a` is several of `b` stacked along the first
 * axis (`in_proj` and q, k, v). Every row is invertible, so a map is applied in both directions by the same code.
 */

import { StableDiffusionError } from '../errors.ts';
import { arrayType, byteSize, type DType } from '../tensor/dtype.ts';
import { bytesOf, elementCount, fromBytes, type Shape, type Tensor, tensor } from '../tensor/tensor.ts';
import { aliased, type ViewEntry, weightView } from '../weights/view.ts';
import type { WeightEntry, WeightSource } from '../weights/weight-source.ts';

export interface NameRow {
  readonly a: string;
  /** Several names: `a` is these stacked along axis 0. */
  readonly b: string | readonly string[];
  /** Number of repetitions of the stacking along axis 0 (once per head). Default 1. */
  readonly groups?: number;
  /** In `a` the matrix has that many more axes, of size 1, at its end: 2 for a 1x1 Conv2d, 1 for a Conv1d, and a linear layer in `b`. */
  readonly ones?: number;
  /** The matrix in `b` is the transpose of that in `a`. */
  readonly transposed?: boolean;
}

export interface NameMap {
  readonly a: string;
  readonly b: string;
  readonly rows: readonly NameRow[];
}

export type Direction = 'a-to-b' | 'b-to-a';

/** Rows for the weight and the bias of a layer that both layouts have. */
export function layer(a: string, b: string): NameRow[] {
  return [
    { a: `${a}.weight`, b: `${b}.weight` },
    { a: `${a}.bias`, b: `${b}.bias` },
  ];
}

/** `rows` with a prefix on each side. */
export function prefixed(rows: readonly NameRow[], a: string, b: string): NameRow[] {
  return rows.map((row) => ({
    ...row,
    a: a + row.a,
    b: typeof row.b === 'string' ? b + row.b : row.b.map((name) => b + name),
  }));
}

/**
 * Translates `source` from one layout of `map` to the other. Unknown names stay unchanged, and so does
 * an incomplete stack; a strict report (`report.ts`) then lists them. Lazy; `locate` is kept if the bytes are unchanged.
 */
export function renamed(source: WeightSource, map: NameMap, direction: Direction): WeightSource {
  const left = new Set(source.entries.keys());
  const tensors: ViewEntry[] = [];
  for (const row of map.rows) {
    const parts = typeof row.b === 'string' ? [row.b] : row.b;
    const from = direction === 'a-to-b' ? [row.a] : parts;
    if (!from.every((name) => left.has(name))) continue;
    for (const name of from) left.delete(name);
    if (direction === 'a-to-b')
      parts.forEach((name, index) => void tensors.push(splitPart(source, row, name, index, parts.length)));
    else
      tensors.push(
        parts.length === 1 ? reshaped(source, row, parts[0] as string, row.a, 'b-to-a') : stack(source, row, parts),
      );
  }
  for (const name of left) tensors.push(aliased(source, name));
  return weightView(source.label, tensors, [source]);
}

function entryOf(source: WeightSource, name: string): WeightEntry {
  return aliased(source, name).entry;
}

/** The shape of a row's tensor on the other side, stacking apart. */
function otherShape(row: NameRow, shape: Shape, direction: Direction): Shape {
  const ones = row.ones ?? 0;
  const turned = row.transposed && shape.length === 2 ? [...shape].reverse() : shape;
  if (direction === 'b-to-a') return turned.length === 2 ? [...turned, ...Array<number>(ones).fill(1)] : turned;
  const isConvolution = turned.length === 2 + ones && turned.slice(2).every((size) => size === 1);
  return isConvolution ? turned.slice(0, 2) : turned;
}

/** A tensor that is one on both sides: the same bytes, or transposed. */
function reshaped(source: WeightSource, row: NameRow, from: string, to: string, direction: Direction): ViewEntry {
  const entry = entryOf(source, from);
  const shape = otherShape(row, entry.shape, direction);
  const turn = row.transposed === true && entry.shape.length === 2;
  return {
    entry: { ...entry, name: to, shape },
    async read(signal) {
      const read = await source.read(from, signal);
      return turn ? transpose(read) : tensor(read.dtype, shape, read.data);
    },
    locate: () => (turn ? undefined : source.locate?.(from)),
    blocks: () => (turn ? undefined : source.blocks?.(from)),
  };
}

/** Part `index` of the stacked tensor `row.a`. */
function splitPart(source: WeightSource, row: NameRow, name: string, index: number, parts: number): ViewEntry {
  if (parts === 1) return reshaped(source, row, row.a, name, 'a-to-b');
  const entry = entryOf(source, row.a);
  const groups = row.groups ?? 1;
  const rows = (entry.shape[0] ?? 0) / (parts * groups);
  if (!Number.isInteger(rows)) {
    throw new StableDiffusionError(
      'weights-mismatch',
      `${source.label}: ${row.a} has shape [${entry.shape.join(', ')}]; its first axis should be ${parts * groups} equal blocks (${parts} parts, ${groups} groups).`,
    );
  }
  const partShape = [rows * groups, ...entry.shape.slice(1)];
  const shape = otherShape(row, partShape, 'a-to-b');
  const block = elementCount([rows, ...entry.shape.slice(1)]) * byteSize(entry.dtype);
  return {
    entry: { name, dtype: entry.dtype, shape },
    async read(signal) {
      const bytes = bytesOf(await source.read(row.a, signal));
      const out = new Uint8Array(block * groups);
      for (let group = 0; group < groups; group++) {
        const start = (group * parts + index) * block;
        out.set(bytes.subarray(start, start + block), group * block);
      }
      return fromBytes(entry.dtype, shape, out);
    },
    locate() {
      const whole = groups === 1 ? source.locate?.(row.a) : undefined;
      return whole && { ...whole, offset: whole.offset + index * block, length: block };
    },
  };
}

/** The tensor `row.a`, stacked from its parts, which must agree in type and shape. */
function stack(source: WeightSource, row: NameRow, names: readonly string[]): ViewEntry {
  const groups = row.groups ?? 1;
  const entries = names.map((name) => entryOf(source, name));
  const first = entries[0] as WeightEntry;
  const odd = entries.find(
    (entry) =>
      entry.dtype !== first.dtype || entry.shape.join() !== first.shape.join() || (entry.shape[0] ?? 0) % groups !== 0,
  );
  if (odd) {
    throw new StableDiffusionError(
      'weights-mismatch',
      `${source.label}: ${first.name} (${first.dtype}, [${first.shape.join(', ')}]) and ${odd.name} (${odd.dtype}, [${odd.shape.join(', ')}]) cannot be stacked to ${row.a} in ${groups} groups.`,
    );
  }
  const partShape = otherShape(row, first.shape, 'b-to-a');
  const shape = [(partShape[0] ?? 0) * names.length, ...partShape.slice(1)];
  return {
    entry: { name: row.a, dtype: first.dtype, shape },
    async read(signal) {
      const size = elementCount(partShape) * byteSize(first.dtype);
      const block = size / groups;
      const out = new Uint8Array(size * names.length);
      for (const [index, name] of names.entries()) {
        const bytes = bytesOf(await source.read(name, signal));
        for (let group = 0; group < groups; group++) {
          out.set(bytes.subarray(group * block, (group + 1) * block), (group * names.length + index) * block);
        }
      }
      return fromBytes(first.dtype, shape, out);
    },
  };
}

/** A matrix transposed: [rows, columns] → [columns, rows]. */
function transpose(value: Tensor): Tensor {
  const [rows = 0, columns = 0] = value.shape;
  const from = value.data as { readonly [index: number]: unknown };
  const data = new (arrayType<DType>(value.dtype))(rows * columns);
  const to = data as { [index: number]: unknown };
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) to[j * rows + i] = from[i * columns + j];
  return tensor(value.dtype, [columns, rows], data);
}
