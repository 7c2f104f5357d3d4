/**
 * Values of GGUF's quantised blocks (ggml's quants.c, as the Python package gguf 0.19 computes them in float32).
 *
 * A block is a run of elements along the fastest axis. It stores its scales, d and dmin in float16, and then the quants. The "K" types have blocks
 * of 256 elements, and each sub-block has its own 6-bit or 4-bit scale.
 */

import { type BlockType, half, type ReadBlock } from './gguf-block-type.ts';
import { iq4Levels, mxfp4, tq1, tq2 } from './gguf-few-levels.ts';
import { iq1m, iq1s, iq2s, iq2xs, iq2xxs, iq3s, iq3xxs } from './gguf-i-blocks.ts';

const product = (a: number, b: number): number => Math.fround(a * b);

const q8: ReadBlock = (block, out, to) => {
  const d = half(block, 0);
  for (let i = 0; i < 32; i++) out[to + i] = product(d, block.getInt8(2 + i));
};

/** Blocks of 32 of 4 or 5 bits: the low nibbles are the first 16 elements. `high` is where the fifth bits are, `m` whether a minimum is added. */
const nibbles =
  (quants: number, high: number | undefined, hasMinimum: boolean): ReadBlock =>
  (block, out, to) => {
    const d = half(block, 0);
    const m = hasMinimum ? half(block, 2) : 0;
    const bits = high === undefined ? 0 : block.getUint32(high, true);
    const zero = hasMinimum ? 0 : high === undefined ? 8 : 16;
    for (let i = 0; i < 32; i++) {
      const byte = block.getUint8(quants + (i % 16));
      const q = (i < 16 ? byte & 15 : byte >> 4) | (((bits >>> i) & 1) << 4);
      const value = product(d, q - zero);
      // Without a minimum, zeros keep the sign of d.
      out[to + i] = hasMinimum ? value + m : value;
    }
  };

const q2k: ReadBlock = (block, out, to) => {
  const [d, minimum] = [half(block, 80), half(block, 82)];
  for (let i = 0; i < 256; i++) {
    const scale = block.getUint8(i >> 4);
    // 128 elements lie in 32 bytes, two bits each; 32 elements share a shift.
    const byte = block.getUint8(16 + ((i >> 7) << 5) + (i & 31));
    const q = (byte >> (2 * ((i >> 5) & 3))) & 3;
    out[to + i] = product(product(d, scale & 15), q) - product(minimum, scale >> 4);
  }
};

const q3k: ReadBlock = (block, out, to) => {
  const d = half(block, 108);
  for (let i = 0; i < 256; i++) {
    const group = i >> 4;
    const low = block.getUint8(96 + (group & 7));
    const upper = (block.getUint8(104 + (group & 3)) >> (2 * (group >> 2))) & 3;
    const scale = ((group < 8 ? low & 15 : low >> 4) | (upper << 4)) - 32;
    const byte = block.getUint8(32 + ((i >> 7) << 5) + (i & 31));
    const third = (block.getUint8(i & 31) >> (i >> 5)) & 1;
    const q = ((byte >> (2 * ((i >> 5) & 3))) & 3) - (third ? 0 : 4);
    out[to + i] = product(product(d, scale), q);
  }
};

/** Scale and minimum of sub-block j of 8: six bits each, in 12 bytes from `at`. */
function scaleAndMinimum(block: DataView, at: number, j: number): readonly [scale: number, minimum: number] {
  const byte = (i: number): number => block.getUint8(at + i);
  if (j < 4) return [byte(j) & 63, byte(j + 4) & 63];
  return [(byte(j + 4) & 15) | ((byte(j - 4) >> 6) << 4), (byte(j + 4) >> 4) | ((byte(j) >> 6) << 4)];
}

/** Q4_K and Q5_K: 64 elements lie in 32 bytes of nibbles; `high` is where the fifth bits are. */
const q45k =
  (quants: number, high: number | undefined): ReadBlock =>
  (block, out, to) => {
    const [d, minimum] = [half(block, 0), half(block, 2)];
    for (let j = 0; j < 8; j++) {
      const [scale, least] = scaleAndMinimum(block, 4, j);
      const [step, offset] = [product(d, scale), product(minimum, least)];
      for (let l = 0; l < 32; l++) {
        const byte = block.getUint8(quants + (j >> 1) * 32 + l);
        const fifth = high === undefined ? 0 : (block.getUint8(high + l) >> j) & 1;
        const q = (j % 2 === 0 ? byte & 15 : byte >> 4) | (fifth << 4);
        out[to + 32 * j + l] = product(step, q) - offset;
      }
    }
  };

const q6k: ReadBlock = (block, out, to) => {
  const d = half(block, 208);
  for (let i = 0; i < 256; i++) {
    const [part, quarter, l] = [i >> 7, (i >> 5) & 3, i & 31];
    const low = block.getUint8(64 * part + l + (quarter % 2 === 1 ? 32 : 0));
    const upper = (block.getUint8(128 + 32 * part + l) >> (2 * quarter)) & 3;
    const q = ((quarter < 2 ? low & 15 : low >> 4) | (upper << 4)) - 32;
    out[to + i] = product(product(d, block.getInt8(192 + (i >> 4))), q);
  }
};

const level = (byte: number, i: number): number => iq4Levels[i < 16 ? byte & 15 : byte >> 4] ?? 0;

const iq4nl: ReadBlock = (block, out, to) => {
  const d = half(block, 0);
  for (let i = 0; i < 32; i++) out[to + i] = product(d, level(block.getUint8(2 + (i % 16)), i));
};

const iq4xs: ReadBlock = (block, out, to) => {
  const d = half(block, 0);
  const upper = block.getUint16(2, true);
  for (let j = 0; j < 8; j++) {
    const low = (block.getUint8(4 + (j >> 1)) >> (4 * (j % 2))) & 15;
    const step = product(d, (low | (((upper >> (2 * j)) & 3) << 4)) - 32);
    for (let i = 0; i < 32; i++) out[to + 32 * j + i] = product(step, level(block.getUint8(8 + 16 * j + (i % 16)), i));
  }
};

/** Quantised types by their number in the format. */
export const blockTypes: ReadonlyMap<number, BlockType> = new Map([
  [2, { name: 'Q4_0', size: 32, bytes: 18, read: nibbles(2, undefined, false) }],
  [3, { name: 'Q4_1', size: 32, bytes: 20, read: nibbles(4, undefined, true) }],
  [6, { name: 'Q5_0', size: 32, bytes: 22, read: nibbles(6, 2, false) }],
  [7, { name: 'Q5_1', size: 32, bytes: 24, read: nibbles(8, 4, true) }],
  [8, { name: 'Q8_0', size: 32, bytes: 34, read: q8 }],
  [10, { name: 'Q2_K', size: 256, bytes: 84, read: q2k }],
  [11, { name: 'Q3_K', size: 256, bytes: 110, read: q3k }],
  [12, { name: 'Q4_K', size: 256, bytes: 144, read: q45k(16, undefined) }],
  [13, { name: 'Q5_K', size: 256, bytes: 176, read: q45k(48, 16) }],
  [14, { name: 'Q6_K', size: 256, bytes: 210, read: q6k }],
  [16, { name: 'IQ2_XXS', size: 256, bytes: 66, read: iq2xxs }],
  [17, { name: 'IQ2_XS', size: 256, bytes: 74, read: iq2xs }],
  [18, { name: 'IQ3_XXS', size: 256, bytes: 98, read: iq3xxs }],
  [19, { name: 'IQ1_S', size: 256, bytes: 50, read: iq1s }],
  [20, { name: 'IQ4_NL', size: 32, bytes: 18, read: iq4nl }],
  [21, { name: 'IQ3_S', size: 256, bytes: 110, read: iq3s }],
  [22, { name: 'IQ2_S', size: 256, bytes: 82, read: iq2s }],
  [23, { name: 'IQ4_XS', size: 256, bytes: 136, read: iq4xs }],
  [29, { name: 'IQ1_M', size: 256, bytes: 56, read: iq1m }],
  [34, { name: 'TQ1_0', size: 256, bytes: 54, read: tq1 }],
  [35, { name: 'TQ2_0', size: 256, bytes: 66, read: tq2 }],
  [39, { name: 'MXFP4', size: 32, bytes: 17, read: mxfp4 }],
]);
