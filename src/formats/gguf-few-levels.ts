/**
 * Values of GGUF's blocks of a few fixed levels (ggml's quants.c): TQ1_0 and TQ2_0, whose elements are -1, 0 and 1 in steps, and MXFP4, whose
 * elements are floating-point numbers of four bits with a power of two for each block (OCP Microscaling Formats 1.0).
 */

import { half, type ReadBlock } from './gguf-block-type.ts';

/** The levels of the non-linear types of 4 bits, IQ4_NL and IQ4_XS. */
export const iq4Levels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113] as const;

/** Element `i` of five in a byte, which is a number of five ternary digits as a fraction of 256. */
const ternaryDigit = (byte: number, i: number): number => ((((byte * 3 ** i) & 255) * 3) >> 8) - 1;

export const tq1: ReadBlock = (block, out, to) => {
  const d = half(block, 52);
  for (let i = 0; i < 256; i++) {
    // Runs of 32, 16 and 4 bytes; the first digits of a run's bytes come first.
    const [first, begin, run] = i < 160 ? [0, 0, 32] : i < 240 ? [160, 32, 16] : [240, 48, 4];
    const byte = block.getUint8(begin + ((i - first) % run));
    out[to + i] = Math.fround(d * ternaryDigit(byte, Math.floor((i - first) / run)));
  }
};

export const tq2: ReadBlock = (block, out, to) => {
  const d = half(block, 64);
  for (let i = 0; i < 256; i++) {
    const byte = block.getUint8(((i >> 7) << 5) + (i & 31));
    out[to + i] = Math.fround(d * (((byte >> (2 * ((i >> 5) & 3))) & 3) - 1));
  }
};

const mxLevels = [0, 0.5, 1, 1.5, 2, 3, 4, 6] as const;

export const mxfp4: ReadBlock = (block, out, to) => {
  const scale = 2 ** (block.getUint8(0) - 127);
  for (let i = 0; i < 32; i++) {
    const byte = block.getUint8(1 + (i % 16));
    const q = i < 16 ? byte & 15 : byte >> 4;
    const size = scale * (mxLevels[q & 7] as number);
    // Level 8 is 0, not -0.
    out[to + i] = q > 8 ? -size : size;
  }
};
