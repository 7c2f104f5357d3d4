/**
 * WeightSource: a lazy view of the parameters in one or many files, by name.
 *
 * Opening one reads headers only; `read` brings one tensor. LoRA, merging, renaming and quantisation are functions from
 * `WeightSource` to `WeightSource`.
 */

import { StableDiffusionError } from '../errors.ts';
import type { FileIdentity } from '../files/byte-source.ts';
import type { DType } from '../tensor/dtype.ts';
import type { Shape, Tensor } from '../tensor/tensor.ts';

export interface WeightEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Where a tensor lies in a file, when its row-major little-endian bytes are there as they are. */
export interface ByteLocation {
  /** Path on this machine. */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  /** The file as it was when it was opened; another one now at `path` is not to be read. */
  readonly identity?: FileIdentity;
}

/** What a file says besides its tensors: a training step, a format name, hyper-parameters. */
export type MetadataValue =
  | null
  | boolean
  | number
  | string
  | readonly MetadataValue[]
  | ReadonlyMap<string, MetadataValue>;

export interface WeightSource {
  /** What this is, for messages: a file name, or a phrase. */
  readonly label: string;
  readonly entries: ReadonlyMap<string, WeightEntry>;
  readonly metadata?: ReadonlyMap<string, MetadataValue>;
  /** The tensor `name`, in its stored element type, contiguous. The caller owns it. Throws `weights-mismatch` if there is none of that name. */
  read(name: string, signal?: AbortSignal): Promise<Tensor>;
  /** Where its bytes lie, if they can be used in place. */
  locate?(name: string): ByteLocation | undefined;
  /** Releases files. Reading afterwards throws. */
  close(): Promise<void>;
}

/** What `entries` has for `name`; throws `weights-mismatch`, naming both, if it has nothing. */
export function findEntry<E>(label: string, entries: ReadonlyMap<string, E>, name: string): E {
  const found = entries.get(name);
  if (found === undefined)
    throw new StableDiffusionError('weights-mismatch', `${label} has no tensor ${JSON.stringify(name)}.`);
  return found;
}
