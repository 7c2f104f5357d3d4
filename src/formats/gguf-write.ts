/**
 * Writes GGUF version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) as a stream: header, then tensor after tensor, each at a
 * multiple of 32 bytes.
 *
 * Which tensors are quantised follows ComfyUI-GGUF (tools/convert.py) and stable-diffusion.cpp (`tensor_should_be_converted`): matrices whose rows
 * are whole blocks; rows of a K type that are not take a type with blocks of 32. Vectors, small tensors and the embeddings of time and vector stay
 * float32, other tensors float16. For ComfyUI-GGUF convolutions are flattened to rows of 256, with their shape as `comfy.gguf.orig_shape.NAME`.
 */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { convert, toFloat32 } from '../tensor/convert.ts';
import { byteSize, type DType, floatDTypes } from '../tensor/dtype.ts';
import { bytesOf, elementCount, type Shape, type Tensor } from '../tensor/tensor.ts';
import type { WeightEntry, WeightSource } from '../weights/weight-source.ts';
import { blockWriters, quantised, type QuantisedType, typeForRows } from './gguf-quantise.ts';

export type GgufType = QuantisedType | 'float16' | 'float32' | 'bfloat16';

export interface GgufOptions {
  /** Undefined keeps each tensor's own. */
  readonly dtype?: GgufType | undefined;
  /** `general.architecture`, as ComfyUI-GGUF has it for a UNet alone; stable-diffusion.cpp's files of a whole model have none. */
  readonly architecture?: 'sd1' | 'sdxl' | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called before each tensor. */
  readonly onTensor?: ((done: number, total: number) => void) | undefined;
}

const plainTypes: Readonly<Partial<Record<DType, number>>> = {
  float32: 0,
  float16: 1,
  int8: 24,
  int16: 25,
  int32: 26,
  int64: 27,
  float64: 28,
  bfloat16: 30,
};
const plainFileTypes = { float32: 0, float16: 1, bfloat16: 32 } as const;

const alignment = 32;
/** Tensors of at most so many elements stay float32. */
const smallTensor = 1024;
const fullPrecision = /(^|\.)(time_embed|time_embedding|label_emb|add_embedding)\./;
const halfPrecision = /(token|position|positional)_embedding/;
/** How a tensor is stored. */
interface Stored {
  readonly entry: WeightEntry;
  /** Its axes in the file. */
  readonly shape: Shape;
  readonly as: QuantisedType | DType;
  readonly bytes: number;
}

function isQuantised(type: GgufType | DType): type is QuantisedType {
  return Object.hasOwn(blockWriters, type);
}

function storedAs(
  { name, shape, dtype }: WeightEntry,
  { dtype: wanted, architecture }: GgufOptions,
): Pick<Stored, 'as' | 'shape'> {
  if (!floatDTypes.has(dtype)) return { as: dtype, shape };
  if (wanted === undefined) return { as: dtype.startsWith('float8') ? 'float16' : dtype, shape };
  const count = elementCount(shape);
  if (shape.length < 2 || count <= smallTensor || fullPrecision.test(name)) return { as: 'float32', shape };
  if (!isQuantised(wanted)) return { as: wanted, shape };
  if (halfPrecision.test(name)) return { as: 'float16', shape };
  const [out = 0, from = 0] = shape;
  const isEnd = shape.length === 4 && Math.min(out, from) <= 4;
  if (architecture !== undefined && isEnd) return { as: 'float32', shape };
  const ofRows = shape.length === 2 ? typeForRows(wanted, from) : undefined;
  if (ofRows) return { as: ofRows, shape };
  if (architecture !== undefined && shape.length > 1 && count % 256 === 0)
    return { as: wanted, shape: [count / 256, 256] };
  return { as: 'float16', shape };
}

function planned(source: WeightSource, options: GgufOptions): Stored[] {
  return [...source.entries.values()].map((entry) => {
    const { as, shape } = storedAs(entry, options);
    const count = elementCount(shape);
    if (!isQuantised(as) && plainTypes[as] === undefined)
      throw new StableDiffusionError(
        'invalid-argument',
        `The tensor ${entry.name} is ${as}, which GGUF has no type for.`,
      );
    if (shape.length > 4)
      throw new StableDiffusionError(
        'invalid-argument',
        `The tensor ${entry.name} has ${shape.length} axes; GGUF has at most 4.`,
      );
    const bytes = isQuantised(as) ? (count / blockWriters[as].size) * blockWriters[as].bytes : count * byteSize(as);
    return { entry, shape, as, bytes };
  });
}

/** Bytes in order. */
function headerBytes() {
  const parts: Uint8Array[] = [];
  const number = (size: 4 | 8, set: (view: DataView) => void): void => {
    const bytes = new Uint8Array(size);
    set(new DataView(bytes.buffer));
    parts.push(bytes);
  };
  const u32 = (value: number): void => number(4, (view) => view.setUint32(0, value, true));
  const u64 = (value: number): void => number(8, (view) => view.setBigUint64(0, BigInt(value), true));
  const text = (value: string): void => {
    const bytes = new TextEncoder().encode(value);
    u64(bytes.length);
    parts.push(bytes);
  };
  return { parts, u32, u64, text };
}

function header(stored: readonly Stored[], { dtype, architecture }: GgufOptions): Uint8Array {
  const { parts, u32, u64, text } = headerBytes();
  const reshaped = stored.filter(({ entry, shape }) => shape !== entry.shape);
  const fileType =
    dtype === undefined ? undefined : isQuantised(dtype) ? blockWriters[dtype].fileType : plainFileTypes[dtype];
  const number = (key: string, value: number) => () => {
    text(key);
    u32(4);
    u32(value);
  };
  const named = (value: string) => () => {
    text('general.architecture');
    u32(8);
    text(value);
  };
  const values = [
    ...(architecture === undefined ? [] : [named(architecture)]),
    number('general.quantization_version', 2),
    ...(fileType === undefined ? [] : [number('general.file_type', fileType)]),
    ...reshaped.map(({ entry }) => () => {
      text(`comfy.gguf.orig_shape.${entry.name}`);
      // A list of int32.
      u32(9);
      u32(5);
      u64(entry.shape.length);
      for (const size of entry.shape) u32(size);
    }),
  ];
  parts.push(new TextEncoder().encode('GGUF'));
  u32(3);
  u64(stored.length);
  u64(values.length);
  for (const write of values) write();
  let offset = 0;
  for (const { entry, shape, as, bytes } of stored) {
    text(entry.name);
    u32(shape.length);
    for (const size of [...shape].reverse()) u64(size);
    u32(isQuantised(as) ? blockWriters[as].type : (plainTypes[as] ?? 0));
    u64(offset);
    offset += aligned(bytes);
  }
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const whole = new Uint8Array(aligned(length));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const aligned = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

function dataOf(value: Tensor, as: Stored['as'], label: string): Uint8Array {
  if (isQuantised(as)) return quantised(toFloat32(value).data, as);
  const made = convert(value, as);
  const overflows = as === 'float16' && (made.data as Uint16Array).some((bits) => (bits & 0x7fff) === 0x7c00);
  if (overflows && value.dtype !== 'float16')
    throw new StableDiffusionError('not-finite', `${label} has numbers that float16 cannot hold. Use bf16 or f32.`);
  return bytesOf(made);
}

/** The bytes of a file, in chunks; write each before requesting the next. At most one tensor is in memory. */
export async function* writeGguf(
  source: WeightSource,
  options: GgufOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  const stored = planned(source, options);
  yield header(stored, options);
  for (const [i, { entry, as, bytes }] of stored.entries()) {
    throwIfAborted(options.signal);
    options.onTensor?.(i, stored.length);
    const data = dataOf(await source.read(entry.name, options.signal), as, `${source.label}: ${entry.name}`);
    if (data.length > 0) yield data;
    if (aligned(bytes) > bytes) yield new Uint8Array(aligned(bytes) - bytes);
  }
}
