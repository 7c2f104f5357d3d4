/**
 * Quantisation to GGUF's blocks of 32, equal to the bit to ggml's reference (`quantize_row_*_ref` of ggml-quants.c, as the Python package gguf
 * 0.19 computes it). `gguf-blocks.ts` reads them.
 */

import { numberToFloat16 } from '../tensor/convert.ts';
import { writeIq4 } from './gguf-quantise-iq4.ts';
import { kBlockSize, writeQ2K, writeQ3K, writeQ4K, writeQ5K, writeQ6K } from './gguf-quantise-k.ts';

/** Writes the block of `values` from `from` on to `out` at `at`. */
type WriteBlock = (values: Float32Array, from: number, out: DataView, at: number) => void;

export interface BlockWriter {
  /** Number of the type in the format, and of files that are mostly of it (`general.file_type`). */
  readonly type: number;
  readonly fileType: number;
  /** Elements of a block, and its bytes. */
  readonly size: number;
  readonly bytes: number;
  readonly write: WriteBlock;
}

const blockSize = 32;

const round = Math.fround;
const inverse = (step: number): number => (step === 0 ? 0 : round(1 / step));

const q8: WriteBlock = (values, from, out, at) => {
  let largest = 0;
  for (let i = 0; i < blockSize; i++) largest = Math.max(largest, Math.abs(values[from + i] as number));
  const step = round(largest / 127);
  const factor = inverse(step);
  out.setUint16(at, numberToFloat16(step), true);
  for (let i = 0; i < blockSize; i++) {
    const value = round((values[from + i] as number) * factor);
    const size = Math.abs(value);
    // Halves are rounded away from zero.
    const floor = Math.floor(size);
    out.setInt8(at + 2 + i, Math.sign(value) * (floor + Math.floor(2 * (size - floor))));
  }
};

/** The value of the largest size, the first of equal ones. */
function extreme(values: Float32Array, from: number): number {
  let found = values[from] as number;
  for (let i = 1; i < blockSize; i++) {
    const value = values[from + i] as number;
    if (Math.abs(value) > Math.abs(found)) found = value;
  }
  return found;
}

/** Steps around zero: the value of the largest size becomes the lowest step. */
function symmetric(values: Float32Array, from: number, half: number, quants: Uint8Array): number {
  const step = round(extreme(values, from) / -half);
  const factor = inverse(step);
  for (let i = 0; i < blockSize; i++) {
    const quant = Math.trunc((values[from + i] as number) * factor + (half + 0.5));
    quants[i] = Math.min(2 * half - 1, quant);
  }
  return step;
}

/** Steps from the least value to the greatest. */
function between(
  values: Float32Array,
  from: number,
  last: number,
  quants: Uint8Array,
): readonly [step: number, least: number] {
  let least = values[from] as number;
  let greatest = least;
  for (let i = 1; i < blockSize; i++) {
    const value = values[from + i] as number;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  const step = round(round(greatest - least) / last);
  const factor = inverse(step);
  for (let i = 0; i < blockSize; i++) {
    const value = round(round(round((values[from + i] as number) - least) * factor) + 0.5);
    quants[i] = Math.min(last, Math.trunc(value));
  }
  return [step, least];
}

/** The first 16 elements are the low nibbles. */
function writeNibbles(quants: Uint8Array, out: DataView, at: number): void {
  for (let i = 0; i < 16; i++)
    out.setUint8(at + i, ((quants[i] as number) & 15) | (((quants[i + 16] as number) & 15) << 4));
}

function writeFifthBits(quants: Uint8Array, out: DataView, at: number): void {
  let bits = 0;
  for (let i = 0; i < blockSize; i++) bits |= ((quants[i] as number) >> 4) << i;
  out.setUint32(at, bits >>> 0, true);
}

const scratch = new Uint8Array(blockSize);

const symmetricBlock =
  (half: 8 | 16): WriteBlock =>
  (values, from, out, at) => {
    out.setUint16(at, numberToFloat16(symmetric(values, from, half, scratch)), true);
    if (half === 16) writeFifthBits(scratch, out, at + 2);
    writeNibbles(scratch, out, at + (half === 16 ? 6 : 2));
  };

const betweenBlock =
  (last: 15 | 31): WriteBlock =>
  (values, from, out, at) => {
    const [step, least] = between(values, from, last, scratch);
    out.setUint16(at, numberToFloat16(step), true);
    out.setUint16(at + 2, numberToFloat16(least), true);
    if (last === 31) writeFifthBits(scratch, out, at + 4);
    writeNibbles(scratch, out, at + (last === 31 ? 8 : 4));
  };

export const blockWriters = {
  q8_0: { type: 8, fileType: 7, size: blockSize, bytes: 34, write: q8 },
  q4_0: { type: 2, fileType: 2, size: blockSize, bytes: 18, write: symmetricBlock(8) },
  q4_1: { type: 3, fileType: 3, size: blockSize, bytes: 20, write: betweenBlock(15) },
  q5_0: { type: 6, fileType: 8, size: blockSize, bytes: 22, write: symmetricBlock(16) },
  q5_1: { type: 7, fileType: 9, size: blockSize, bytes: 24, write: betweenBlock(31) },
  iq4_nl: { type: 20, fileType: 25, size: blockSize, bytes: 18, write: writeIq4 },
  q2_K: { type: 10, fileType: 10, size: kBlockSize, bytes: 84, write: writeQ2K },
  q3_K: { type: 11, fileType: 11, size: kBlockSize, bytes: 110, write: writeQ3K },
  q4_K: { type: 12, fileType: 14, size: kBlockSize, bytes: 144, write: writeQ4K },
  q5_K: { type: 13, fileType: 16, size: kBlockSize, bytes: 176, write: writeQ5K },
  q6_K: { type: 14, fileType: 18, size: kBlockSize, bytes: 210, write: writeQ6K },
} as const satisfies Readonly<Record<string, BlockWriter>>;

export type QuantisedType = keyof typeof blockWriters;

/** The types with blocks of 32 for rows that are no whole blocks of 256, as llama.cpp chooses them. */
const shorterBlocks: Readonly<Partial<Record<QuantisedType, QuantisedType>>> = {
  q2_K: 'q4_0',
  q3_K: 'q4_0',
  q4_K: 'q5_0',
  q5_K: 'q5_1',
  q6_K: 'q8_0',
};

/** The type for rows of so many elements: the wanted one, or one of shorter blocks; undefined where no block fits. */
export function typeForRows(wanted: QuantisedType, elements: number): QuantisedType | undefined {
  if (elements % blockWriters[wanted].size === 0) return wanted;
  const shorter = shorterBlocks[wanted];
  return shorter && typeForRows(shorter, elements);
}

/** The blocks of values whose count is a multiple of a block's. */
export function quantised(values: Float32Array, name: QuantisedType): Uint8Array {
  const { bytes, size, write } = blockWriters[name];
  const out = new Uint8Array((values.length / size) * bytes);
  const view = new DataView(out.buffer);
  for (let i = 0; i * size < values.length; i++) write(values, i * size, view, i * bytes);
  return out;
}
