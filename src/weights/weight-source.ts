/**
 * WeightSource: a lazy view of the parameters in one or many files, by name.
 *
 * Opening one reads headers only; `read` brings one tensor. LoRA, merging, renaming and quantisation are functions from
 * `WeightSource` to `WeightSource`.
 */

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
}

export interface WeightSource {
  /** What this is, for messages: a file name, or a phrase. */
  readonly label: string;
  readonly entries: ReadonlyMap<string, WeightEntry>;
  /** The tensor `name`, in its stored element type, contiguous. Throws `weights-mismatch` if there is none of that name. */
  read(name: string, signal?: AbortSignal): Promise<Tensor>;
  /** Where its bytes lie, if they can be used in place. */
  locate?(name: string): ByteLocation | undefined;
  /** Releases files. Reading afterwards throws. */
  close(): Promise<void>;
}
