/**
 * Reading GGUF, the format of ggml's programs (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): a header of metadata and tensor
 * descriptions, then the data from an aligned offset. Quantised tensors are given as float32.
 *
 * Axes are stored fastest first. ComfyUI-GGUF keeps the shape of flattened convolutions as `comfy.gguf.orig_shape.NAME`.
 */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { ByteSource } from '../files/byte-source.ts';
import { byteSize, type DType } from '../tensor/dtype.ts';
import { elementCount, float32, fromBytes, type Tensor } from '../tensor/tensor.ts';
import { findEntry, type MetadataValue, type WeightEntry, type WeightSource } from '../weights/weight-source.ts';
import type { BlockType } from './gguf-block-type.ts';
import { blockTypes } from './gguf-blocks.ts';
import { blockValues, storedBits } from './gguf-stored-blocks.ts';

/** Types that are stored as they are, by their number in the format. */
const plainTypes: ReadonlyMap<number, DType> = new Map([
  [0, 'float32'],
  [1, 'float16'],
  [24, 'int8'],
  [25, 'int16'],
  [26, 'int32'],
  [27, 'int64'],
  [28, 'float64'],
  [30, 'bfloat16'],
]);

const maximumHeader = 64 * 2 ** 20;
const maximumTensors = 400_000;
const maximumRank = 4;
/** Axes of a convolution before it was flattened. */
const maximumShape = 8;
/** Items of all lists in the metadata; the vocabularies of language models have some 250,000. */
const maximumItems = 2_000_000;

interface StoredTensor {
  readonly entry: WeightEntry;
  readonly offset: number;
  readonly bytes: number;
  /** Absent where the elements are stored as they are. */
  readonly blocks?: BlockType | undefined;
  /** Of blocks that can be multiplied as they are. */
  readonly bits?: 4 | 8 | undefined;
}

interface Header {
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** The header is longer than what has been read of it. */
class HeaderGoesOn extends Error {}

/** Opens a GGUF file of version 2 or 3. Reads the header only. */
export async function openGguf(source: ByteSource): Promise<WeightSource> {
  const { metadata, tensors } = await readHeader(source);
  return {
    label: source.label,
    metadata,
    entries: new Map([...tensors].map(([name, { entry }]) => [name, entry])),
    async read(name, signal) {
      throwIfAborted(signal);
      const { entry, offset, bytes, blocks } = findEntry(source.label, tensors, name);
      const data = await source.read(offset, bytes);
      return blocks ? dequantised(data, entry.shape, blocks) : fromBytes(entry.dtype, entry.shape, data);
    },
    locate(name) {
      const stored = tensors.get(name);
      if (!stored || stored.blocks || source.path === undefined) return undefined;
      return { path: source.path, offset: stored.offset, length: stored.bytes, identity: source.identity };
    },
    blocks(name) {
      const { entry, offset, bytes, bits } = tensors.get(name) ?? {};
      if (bits === undefined || offset === undefined || bytes === undefined || entry?.shape.length !== 2)
        return undefined;
      return {
        bits,
        async read(signal) {
          throwIfAborted(signal);
          return blockValues(await source.read(offset, bytes), bits);
        },
      };
    },
    close: () => source.close(),
  };
}

function dequantised(data: Uint8Array, shape: readonly number[], { size, bytes, read }: BlockType): Tensor<'float32'> {
  const out = new Float32Array(elementCount(shape));
  for (let i = 0; i * size < out.length; i++)
    read(new DataView(data.buffer, data.byteOffset + i * bytes, bytes), out, i * size);
  return float32(shape, out);
}

/** Reads more of the file until the header is whole. */
async function readHeader(source: ByteSource): Promise<Header> {
  for (let length = 2 ** 20; ; length *= 4) {
    const head = await source.read(0, Math.min(length, source.size));
    try {
      return parseHeader(source, head);
    } catch (cause) {
      if (!(cause instanceof HeaderGoesOn)) throw cause;
      if (head.length === source.size)
        throw new StableDiffusionError('file-truncated', `${source.label} ends within its header. Get it again.`);
      if (length >= maximumHeader) throw corrupt(source.label, `its header is longer than ${maximumHeader} bytes`);
    }
  }
}

function corrupt(label: string, what: string): StableDiffusionError {
  return new StableDiffusionError('file-corrupt', `${label} is not a usable GGUF file: ${what}. Get it again.`);
}

/** Values in order, from a header that may be cut. */
function headerCursor(label: string, head: Uint8Array) {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let at = 0;
  const take = (length: number): number => {
    if (length > head.length - at) throw new HeaderGoesOn();
    at += length;
    return at - length;
  };
  const u64 = (): number => {
    const value = view.getBigUint64(take(8), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(label, `a number of its header is ${value}`);
    return Number(value);
  };
  const text = (): string => {
    const length = u64();
    const start = take(length);
    try {
      return decoder.decode(head.subarray(start, start + length));
    } catch {
      throw corrupt(label, 'a text of its header is not UTF-8');
    }
  };
  return { view, take, u64, text, u32: () => view.getUint32(take(4), true), position: () => at };
}

type HeaderCursor = ReturnType<typeof headerCursor>;

/** Metadata values by their type's number. */
const valueReaders: Readonly<Record<number, (c: HeaderCursor) => MetadataValue>> = {
  0: (c) => c.view.getUint8(c.take(1)),
  1: (c) => c.view.getInt8(c.take(1)),
  2: (c) => c.view.getUint16(c.take(2), true),
  3: (c) => c.view.getInt16(c.take(2), true),
  4: (c) => c.u32(),
  5: (c) => c.view.getInt32(c.take(4), true),
  6: (c) => c.view.getFloat32(c.take(4), true),
  7: (c) => c.view.getUint8(c.take(1)) !== 0,
  8: (c) => c.text(),
  10: (c) => Number(c.view.getBigUint64(c.take(8), true)),
  11: (c) => Number(c.view.getBigInt64(c.take(8), true)),
  12: (c) => c.view.getFloat64(c.take(8), true),
};

function readValue(label: string, cursor: HeaderCursor, type: number, budget: { items: number }): MetadataValue {
  const read = valueReaders[type];
  if (read) return read(cursor);
  if (type !== 9) throw corrupt(label, `a metadata value has the unknown type ${type}`);
  const of = cursor.u32();
  const readItem = valueReaders[of];
  if (!readItem) throw corrupt(label, `a metadata list holds values of the unsupported type ${of}`);
  // Each item takes at least a byte, so that a length that lies ends with the bytes that are there.
  const count = cursor.u64();
  budget.items -= count;
  if (budget.items < 0) throw corrupt(label, `the lists of its metadata have more than ${maximumItems} items`);
  const items: MetadataValue[] = [];
  for (let i = 0; i < count; i++) items.push(readItem(cursor));
  return items;
}

function parseHeader(source: ByteSource, head: Uint8Array): Header {
  const { label } = source;
  const cursor = headerCursor(label, head);
  cursor.take(4);
  const version = cursor.u32();
  if (version !== 2 && version !== 3)
    throw new StableDiffusionError(
      'file-unsupported',
      `${label} is a GGUF file of version ${version}. Supported are 2 and 3.`,
    );
  const [tensorCount, valueCount] = [cursor.u64(), cursor.u64()];
  if (tensorCount > maximumTensors || valueCount > maximumTensors)
    throw corrupt(label, `it describes ${tensorCount} tensors and ${valueCount} metadata values`);
  const metadata = new Map<string, MetadataValue>();
  const budget = { items: maximumItems };
  for (let i = 0; i < valueCount; i++) {
    const key = cursor.text();
    metadata.set(key, readValue(label, cursor, cursor.u32(), budget));
  }
  const described = Array.from({ length: tensorCount }, () => {
    const name = cursor.text();
    const rank = cursor.u32();
    if (rank > maximumRank) throw corrupt(label, `the tensor ${JSON.stringify(name)} has ${rank} axes`);
    const axes = Array.from({ length: rank }, () => cursor.u64()).reverse();
    return { name, axes, type: cursor.u32(), offset: cursor.u64() };
  });
  const alignment = metadata.get('general.alignment') ?? 32;
  if (typeof alignment !== 'number' || !(alignment > 0 && alignment <= 65536 && Number.isInteger(alignment)))
    throw corrupt(label, `its alignment is ${String(alignment)}`);
  const start = Math.ceil(cursor.position() / alignment) * alignment;
  const tensors = new Map<string, StoredTensor>();
  let bytes = 0;
  for (const { name, axes, type, offset } of described) {
    if (tensors.has(name)) throw corrupt(label, `two tensors are named ${JSON.stringify(name)}`);
    const stored = storedTensor(source, { name, axes, type, offset: start + offset }, metadata);
    tensors.set(name, stored);
    bytes += stored.bytes;
  }
  // Tensors do not share bytes: a small file cannot describe large ones.
  if (bytes > source.size)
    throw corrupt(label, `its tensors have ${bytes} bytes together, and the file has ${source.size}`);
  return { metadata, tensors };
}

interface Description {
  readonly name: string;
  readonly axes: readonly number[];
  readonly type: number;
  readonly offset: number;
}

/** Checks that the tensor's blocks fit its axes and lie in the file. */
function storedTensor(
  { label, size }: ByteSource,
  { name, axes, type, offset }: Description,
  metadata: Header['metadata'],
): StoredTensor {
  const blocks = blockTypes.get(type);
  const dtype = blocks ? 'float32' : plainTypes.get(type);
  const said = JSON.stringify(name);
  if (dtype === undefined)
    throw new StableDiffusionError(
      'file-unsupported',
      `The tensor ${said} of ${label} has the GGUF type ${type}, which is not supported. Get the model in another quantisation, such as Q8_0.`,
    );
  const count = elementCount(axes);
  if (!Number.isSafeInteger(count) || (blocks && (axes.at(-1) ?? 0) % blocks.size !== 0))
    throw corrupt(label, `the tensor ${said} of shape [${axes.join(', ')}] does not hold whole blocks`);
  const bytes = blocks ? (count / blocks.size) * blocks.bytes : count * byteSize(dtype);
  if (offset + bytes > size)
    throw new StableDiffusionError('file-truncated', `${label} ends before its tensor ${said} does. Get it again.`);
  const shape = originalShape(metadata.get(`comfy.gguf.orig_shape.${name}`)) ?? axes;
  if (elementCount(shape) !== count)
    throw corrupt(label, `the tensor ${said} of ${count} elements cannot have the shape [${shape.join(', ')}]`);
  return { entry: { name, dtype, shape }, offset, bytes, blocks, bits: storedBits[type] };
}

function originalShape(value: MetadataValue | undefined): readonly number[] | undefined {
  if (!Array.isArray(value) || value.length > maximumShape) return undefined;
  const sizes = value.filter((size): size is number => typeof size === 'number' && Number.isInteger(size) && size >= 0);
  return sizes.length === value.length ? sizes : undefined;
}
