/** What a quantised type of GGUF is to its reader. */

import { float16ToNumber } from '../tensor/convert.ts';

/** Writes the block's values to `out` from `to` on. `block` views exactly one block. */
export type ReadBlock = (block: DataView, out: Float32Array, to: number) => void;

export interface BlockType {
  readonly name: string;
  /** Elements of a block. */
  readonly size: number;
  readonly bytes: number;
  readonly read: ReadBlock;
}

/** The number in float16 at a place of a block. */
export const half = (block: DataView, at: number): number => float16ToNumber(block.getUint16(at, true));
