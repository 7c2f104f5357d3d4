/**
 * Reading `.safetensors`: an 8-byte little-endian header length, a JSON header of names, dtypes, shapes and byte ranges, then the data
 * (https://github.com/huggingface/safetensors#format). As strict as the reference implementation, safetensors 0.8, and stricter where
 * that one departs from its own description: the header must start with `{`, and no key may appear twice.
 */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { createBudget } from '../files/budget.ts';
import { byteSize, type DType } from '../tensor/dtype.ts';
import { fromBytes, type Tensor } from '../tensor/tensor.ts';
import type { ByteSource } from '../files/byte-source.ts';
import { type JsonCursor, JsonSyntaxError, jsonCursor } from './json-cursor.ts';
import { findEntry, type WeightEntry, type WeightSource } from '../weights/weight-source.ts';

/** Element types by the names of the format. */
export const safetensorsTypes: ReadonlyMap<string, DType> = new Map([
  ['F64', 'float64'],
  ['F32', 'float32'],
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
  ['F8_E4M3', 'float8_e4m3fn'],
  ['F8_E5M2', 'float8_e5m2'],
  ['I64', 'int64'],
  ['U64', 'uint64'],
  ['I32', 'int32'],
  ['U32', 'uint32'],
  ['I16', 'int16'],
  ['U16', 'uint16'],
  ['I8', 'int8'],
  ['U8', 'uint8'],
  ['BOOL', 'bool'],
]);

/** Element types of the format that no tensor here can hold. */
const unsupportedTypes: ReadonlySet<string> = new Set([
  'F4',
  'F6_E2M3',
  'F6_E3M2',
  'F8_E8M0',
  'F8_E4M3FNUZ',
  'F8_E5M2FNUZ',
  'C64',
]);

const maximumHeader = 100_000_000;
/** Sizes and names of a header: the largest models have a few thousand tensors, a collection of adapters some ten thousand. */
const maximumElements = 400_000;
const maximumRank = 64;
const maximumSize = 2n ** 64n - 1n;

interface StoredTensor {
  readonly entry: WeightEntry;
  /** Offset from the start of the data. */
  readonly begin: bigint;
  readonly end: bigint;
}

interface Header {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Opens a file of the format, reading its header only. Throws `file-corrupt`, `file-truncated` or `file-unsupported`. */
export async function openSafetensors(source: ByteSource): Promise<WeightSource> {
  const { label } = source;
  const headerLength = await readHeaderLength(source);
  const bytes = await source.read(8, headerLength);
  if (bytes[0] !== 0x7b) throw corrupt(label, 'its header does not start with "{"');
  const { tensors, metadata } = parseHeader(label, bytes);
  checkLayout(source, 8 + headerLength, tensors);

  const locate = (name: string) => {
    const { begin, end } = findEntry(label, tensors, name);
    return { offset: 8 + headerLength + Number(begin), length: Number(end - begin) };
  };
  return {
    label,
    entries: new Map([...tensors].map(([name, { entry }]) => [name, entry])),
    metadata,
    async read(name, signal) {
      throwIfAborted(signal);
      const { dtype, shape } = findEntry(label, tensors, name).entry;
      const { offset, length } = locate(name);
      return boolsAsBits(fromBytes(dtype, shape, await source.read(offset, length)));
    },
    locate: (name) =>
      source.path === undefined ? undefined : { path: source.path, identity: source.identity, ...locate(name) },
    close: () => source.close(),
  };
}

/** PyTorch reads any byte other than 0 as true, but kernels need 1. Changes the bytes in place. */
export function boolsAsBits(value: Tensor): Tensor {
  if (value.dtype === 'bool') for (let i = 0; i < value.data.length; i++) value.data[i] = value.data[i] ? 1 : 0;
  return value;
}

async function readHeaderLength(source: ByteSource): Promise<number> {
  const { label, size } = source;
  if (size < 8) throw truncated(label, `it has ${size} bytes, and the length of its header alone takes 8`);
  const bytes = await source.read(0, 8);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(maximumHeader)) {
    throw corrupt(
      label,
      `its header would take ${length} bytes, and ${maximumHeader} is the most that the format allows; it is probably no .safetensors file`,
    );
  }
  if (length > size - 8) throw truncated(label, `its header should have ${length} bytes, but only ${size - 8} follow`);
  if (length === 0n) throw corrupt(label, 'its header is empty');
  return Number(length);
}

function parseHeader(label: string, bytes: Uint8Array): Header {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw corrupt(label, 'its header is not UTF-8', cause);
  }
  const tensors = new Map<string, StoredTensor>();
  const metadata = new Map<string, string>();
  const budget = createBudget(label, { elements: maximumElements });
  try {
    const cursor = jsonCursor(text);
    cursor.object((key) => {
      if (key === '__metadata__') {
        if (!cursor.skipNull())
          cursor.object((name) => {
            budget.elements(1, 'its metadata');
            metadata.set(name, cursor.string());
          });
      } else {
        budget.elements(4, 'its header');
        tensors.set(key, parseTensor(label, key, cursor));
      }
    });
    cursor.end();
  } catch (cause) {
    if (cause instanceof JsonSyntaxError)
      throw corrupt(label, `its header is not the JSON of the format: ${cause.message}`, cause);
    throw cause;
  }
  return { tensors, metadata };
}

function parseTensor(label: string, name: string, cursor: JsonCursor): StoredTensor {
  let dtypeName: string | undefined;
  let shape: bigint[] | undefined;
  let range: bigint[] | undefined;
  cursor.object((key) => {
    if (key === 'dtype') dtypeName = cursor.string();
    else if (key === 'shape') shape = wholeNumbers(cursor);
    else if (key === 'data_offsets') range = wholeNumbers(cursor);
    else cursor.skip();
  });
  const what = `tensor ${JSON.stringify(name)}`;
  if (dtypeName === undefined || !shape || !range)
    throw corrupt(label, `${what} lacks its dtype, shape or data_offsets`);
  const [begin, end] = range;
  if (begin === undefined || end === undefined || range.length !== 2 || begin > end) {
    throw corrupt(label, `${what} has the data_offsets [${range.join(', ')}]`);
  }
  const dtype = safetensorsTypes.get(dtypeName);
  if (!dtype) {
    if (unsupportedTypes.has(dtypeName)) {
      throw new StableDiffusionError(
        'file-unsupported',
        `${label}: ${what} has the element type ${dtypeName}, which is not supported. Convert it to F16 or F32.`,
      );
    }
    throw corrupt(label, `${what} has the unknown element type ${JSON.stringify(dtypeName)}`);
  }
  let size = BigInt(byteSize(dtype));
  for (const length of shape) {
    size *= length;
    if (size > maximumSize)
      throw corrupt(label, `${what} has the shape [${shape.join(', ')}], whose size is over 2^64 bytes`);
  }
  if (size !== end - begin) {
    throw corrupt(
      label,
      `${what} of ${dtypeName} [${shape.join(', ')}] needs ${size} bytes, and its data_offsets give it ${end - begin}`,
    );
  }
  return { entry: { name, dtype, shape: shape.map(Number) }, begin, end };
}

function wholeNumbers(cursor: JsonCursor): bigint[] {
  const values: bigint[] = [];
  cursor.array(() => {
    const value = cursor.integer();
    if (value < 0n || value > maximumSize) throw new JsonSyntaxError(`${value} is not a size or an offset`);
    if (values.length === maximumRank)
      throw new JsonSyntaxError(`a list of sizes has more than ${maximumRank} numbers`);
    values.push(value);
  });
  return values;
}

/** The data must be covered from its first byte to its last, without holes and overlaps. */
function checkLayout(source: ByteSource, dataStart: number, tensors: ReadonlyMap<string, StoredTensor>): void {
  const { label } = source;
  const ordered = [...tensors.values()].sort((a, b) => compare(a.begin, b.begin) || compare(a.end, b.end));
  let position = 0n;
  for (const { entry, begin, end } of ordered) {
    if (begin !== position) {
      throw corrupt(
        label,
        `tensor ${JSON.stringify(entry.name)} starts at byte ${begin} of the data, but the tensor before it ends at ${position}`,
      );
    }
    position = end;
  }
  const missing = position - BigInt(source.size - dataStart);
  if (missing > 0n) throw truncated(label, `${missing} of its ${position + BigInt(dataStart)} bytes are missing`);
  if (missing < 0n) throw corrupt(label, `${-missing} bytes after its last tensor belong to none`);
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function corrupt(label: string, reason: string, cause?: unknown): StableDiffusionError {
  return new StableDiffusionError(
    'file-corrupt',
    `${label} is not a valid .safetensors file: ${reason}. Get it again.`,
    { cause },
  );
}

function truncated(label: string, reason: string): StableDiffusionError {
  return new StableDiffusionError('file-truncated', `${label} is truncated: ${reason}. Get it again.`);
}
