/**
 * Writes `.safetensors` as a stream: the header from the entries, then tensor after tensor from a provider, so that at most one
 * tensor is in memory. The order is that of the reference implementation: element types from the widest to the narrowest, then names; the
 * header is padded with spaces to a multiple of eight bytes, so that every tensor is aligned.
 */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { byteSize, type DType } from '../tensor/dtype.ts';
import { bytesOf, elementCount, type Tensor } from '../tensor/tensor.ts';
import { safetensorsTypes } from './safetensors.ts';
import type { WeightEntry } from '../weights/weight-source.ts';

export interface SafetensorsOptions {
  /** `given`: in the order of the entries, none of which may leave the next one unaligned. Default: the reference implementation's order. */
  readonly order?: 'given';
  readonly metadata?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
  readonly signal?: AbortSignal;
}

/** Gives the tensor of an entry, of its dtype and shape. */
export type TensorProvider = (entry: WeightEntry) => Tensor | Promise<Tensor>;

const typeNames: ReadonlyMap<DType, string> = new Map([...safetensorsTypes].map(([name, dtype]) => [dtype, name]));

/**
 * The bytes of a file, in chunks; write each before requesting the next. Throws `shape-mismatch` if the provider returns a
 * tensor of another dtype or shape than its entry's, and `aborted`.
 */
export async function* writeSafetensors(
  entries: Iterable<WeightEntry>,
  provide: TensorProvider,
  options: SafetensorsOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  const ordered = [...entries];
  if (options.order !== 'given')
    ordered.sort(
      (a, b) => byteSize(b.dtype) - byteSize(a.dtype) || compareText(a.dtype, b.dtype) || compareText(a.name, b.name),
    );
  yield header(ordered, options.metadata);
  for (const entry of ordered) {
    throwIfAborted(options.signal);
    const value = await provide(entry);
    if (value.dtype !== entry.dtype || value.shape.join() !== entry.shape.join()) {
      throw new StableDiffusionError(
        'shape-mismatch',
        `Tensor ${JSON.stringify(entry.name)} should be written as ${entry.dtype} [${entry.shape.join(', ')}], and ${value.dtype} [${value.shape.join(', ')}] was given.`,
      );
    }
    const bytes = bytesOf(value);
    if (bytes.length > 0) yield bytes;
  }
}

function header(entries: readonly WeightEntry[], metadata: SafetensorsOptions['metadata']): Uint8Array {
  const members: string[] = [];
  const notes = metadata instanceof Map ? [...metadata] : Object.entries(metadata ?? {});
  if (notes.length > 0)
    members.push(`"__metadata__":{${notes.map(([key, value]) => `${quote(key)}:${quote(value)}`).join()}}`);
  const names = new Set<string>();
  let at = 0;
  for (const { name, dtype, shape } of entries) {
    if (names.has(name) || name === '__metadata__')
      throw new StableDiffusionError(
        'invalid-argument',
        `A tensor cannot be called ${quote(name)}${names.has(name) ? ' twice' : ''}.`,
      );
    names.add(name);
    const end = at + elementCount(shape) * byteSize(dtype);
    members.push(
      `${quote(name)}:{"dtype":"${typeNames.get(dtype)}","shape":[${shape.join()}],"data_offsets":[${at},${end}]}`,
    );
    at = end;
  }
  const text = new TextEncoder().encode(`{${members.join()}}`);
  const bytes = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.length - 8), true);
  bytes.set(text, 8);
  return bytes;
}

/** A JSON string. A lone surrogate, which UTF-8 cannot hold, throws `invalid-argument`. */
function quote(text: string): string {
  if (/\p{Surrogate}/u.test(text))
    throw new StableDiffusionError(
      'invalid-argument',
      `${JSON.stringify(text)} has half of a surrogate pair and cannot be written.`,
    );
  return JSON.stringify(text);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
