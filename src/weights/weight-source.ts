/**
 * WeightSource: a lazy view of the parameters in one or many files, by name.
 *
 * Opening one reads headers only; `read` brings one tensor. LoRA, merging, renaming and quantisation are functions from
 * `WeightSource` to `WeightSource`.
 */

import { StableDiffusionError } from '../errors.ts';
import type { FileIdentity } from '../files/byte-source.ts';
import type { DType } from '../tensor/dtype.ts';
import { elementCount, type Shape, type Tensor } from '../tensor/tensor.ts';

export interface WeightEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Location of a tensor in a file, if its row-major little-endian bytes are stored there unchanged. */
export interface ByteLocation {
  /** Path on this machine. */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  /** Identity of the file when it was opened; a different file now at `path` must not be read. */
  readonly identity?: FileIdentity;
}

/** Metadata of a file: a training step, a format name, hyper-parameters. */
export type MetadataValue =
  | null
  | boolean
  | number
  | string
  | readonly MetadataValue[]
  | ReadonlyMap<string, MetadataValue>;

/** A matrix in blocks of 32 numbers of 4 or 8 bits, each with a scale. */
export interface StoredBlocks {
  readonly bits: 4 | 8;
  read(signal?: AbortSignal): Promise<BlockValues>;
}

export interface BlockValues {
  /** The numbers in order, two in a byte of 4 bits, the first in the low half; 8 or 128 is zero. */
  readonly numbers: Uint8Array;
  /** Of each block. */
  readonly scales: Float32Array;
}

export interface WeightSource {
  /** A label for messages: a file name, or a phrase. */
  readonly label: string;
  readonly entries: ReadonlyMap<string, WeightEntry>;
  readonly metadata?: ReadonlyMap<string, MetadataValue>;
  /** The tensor `name`, in its stored element type, contiguous. The caller owns it. Throws `weights-mismatch` if there is none of that name. */
  read(name: string, signal?: AbortSignal): Promise<Tensor>;
  /** Location of the bytes of a tensor, if they can be used in place. */
  locate?(name: string): ByteLocation | undefined;
  /** The blocks of a tensor that is stored so. */
  blocks?(name: string): StoredBlocks | undefined;
  /** Releases files. Reading afterwards throws. */
  close(): Promise<void>;
}

/** The entry `name`; throws `weights-mismatch`, naming tensor and source, if it is missing. */
export function findEntry<E>(label: string, entries: ReadonlyMap<string, E>, name: string): E {
  const found = entries.get(name);
  if (found === undefined)
    throw new StableDiffusionError('weights-mismatch', `${label} has no tensor ${JSON.stringify(name)}.`);
  return found;
}

/** Bytes of all tensors in float32, which is what a compiled network takes. */
export function float32Bytes({ entries }: Pick<WeightSource, 'entries'>): number {
  let sum = 0;
  for (const { shape } of entries.values()) sum += 4 * elementCount(shape);
  return sum;
}
