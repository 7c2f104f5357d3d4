/**
 * Values of GGUF's I types (ggml's quants.c, as the Python package gguf 0.19 computes them in float32): an index names a vector of four or eight
 * numbers of a codebook, which a sub-block's step multiplies. Types 2 and 3 keep the signs apart; type 1 shifts each vector by an eighth.
 */

import { float16ToNumber } from '../tensor/convert.ts';
import { half, type ReadBlock } from './gguf-block-type.ts';
import { type Codebook, codebooks } from './gguf-codebooks.ts';

const round = Math.fround;

const unpacked = new Map<Codebook, Float32Array>();

/** All vectors of a codebook, one after the other. */
function vectorsOf(book: Codebook): Float32Array {
  const known = unpacked.get(book);
  if (known) return known;
  const { bits, levels, packed } = book;
  const bytes = Uint8Array.from(atob(packed), (char) => char.charCodeAt(0));
  const each = 8 / bits;
  const vectors = Float32Array.from(
    { length: bytes.length * each },
    (_, i) => levels[((bytes[Math.floor(i / each)] as number) >> (bits * (i % each))) & (2 ** bits - 1)] as number,
  );
  unpacked.set(book, vectors);
  return vectors;
}

/** Where a vector goes, and what it is multiplied by. */
interface Target {
  readonly out: Float32Array;
  readonly to: number;
  readonly step: number;
}

/** The vector of an index in steps; bit i of `signs` negates element i. */
function putSigned(book: Codebook, index: number, signs: number, { out, to, step }: Target): void {
  const vectors = vectorsOf(book);
  const { width } = book;
  for (let i = 0; i < width; i++) {
    const value = round(step * (vectors[index * width + i] as number));
    out[to + i] = (signs >> i) & 1 ? -value : value;
  }
}

/** Eight signs of which seven bits are stored: their count of ones is even. */
function evenSigns(bits: number): number {
  let ones = 0;
  for (let rest = bits; rest > 0; rest >>= 1) ones ^= rest & 1;
  return bits | (ones << 7);
}

/** The step of numbers whose scale is `scale + 1/2` parts of d. */
const halfStep = (d: number, scale: number, part: number): number => round(round(d * (0.5 + scale)) * part);

/** Scale `i` of those in nibbles from byte `at` on. */
const nibble = (block: DataView, at: number, i: number): number =>
  (block.getUint8(at + (i >> 1)) >> (4 * (i & 1))) & 15;

export const iq2xxs: ReadBlock = (block, out, to) => {
  const d = half(block, 0);
  for (let l = 0; l < 32; l++) {
    const at = 2 + 8 * (l >> 2);
    const rest = block.getUint32(at + 4, true);
    const signs = evenSigns((rest >>> (7 * (l & 3))) & 127);
    const step = halfStep(d, rest >>> 28, 0.25);
    putSigned(codebooks.iq2xxs, block.getUint8(at + (l & 3)), signs, { out, to: to + 8 * l, step });
  }
};

export const iq2xs: ReadBlock = (block, out, to) => {
  const d = half(block, 0);
  for (let l = 0; l < 32; l++) {
    const both = block.getUint16(2 + 2 * l, true);
    const step = halfStep(d, nibble(block, 66, l >> 1), 0.25);
    putSigned(codebooks.iq2xs, both & 511, evenSigns(both >> 9), { out, to: to + 8 * l, step });
  }
};

export const iq2s: ReadBlock = (block, out, to) => {
  const d = half(block, 0);
  for (let l = 0; l < 32; l++) {
    const upper = (block.getUint8(66 + (l >> 2)) >> (2 * (l & 3))) & 3;
    const step = halfStep(d, nibble(block, 74, l >> 1), 0.25);
    const index = block.getUint8(2 + l) | (upper << 8);
    putSigned(codebooks.iq2s, index, block.getUint8(34 + l), { out, to: to + 8 * l, step });
  }
};

export const iq3xxs: ReadBlock = (block, out, to) => {
  const d = half(block, 0);
  for (let l = 0; l < 64; l++) {
    const rest = block.getUint32(66 + 4 * (l >> 3), true);
    // Two vectors share eight signs.
    const signs = evenSigns((rest >>> (7 * ((l >> 1) & 3))) & 127) >> (4 * (l & 1));
    const step = halfStep(d, rest >>> 28, 0.5);
    putSigned(codebooks.iq3xxs, block.getUint8(2 + l), signs, { out, to: to + 4 * l, step });
  }
};

export const iq3s: ReadBlock = (block, out, to) => {
  const d = half(block, 0);
  for (let l = 0; l < 64; l++) {
    const index = block.getUint8(2 + l) | (((block.getUint8(66 + (l >> 3)) >> (l & 7)) & 1) << 8);
    const signs = block.getUint8(74 + (l >> 1)) >> (4 * (l & 1));
    const step = round(d * (1 + 2 * nibble(block, 106, l >> 3)));
    putSigned(codebooks.iq3s, index, signs, { out, to: to + 4 * l, step });
  }
};

/** The vector of an index, shifted by an eighth up or down, in steps. */
function putShifted(index: number, isDown: boolean, { out, to, step }: Target): void {
  const vectors = vectorsOf(codebooks.iq1);
  const shift = isDown ? -0.125 : 0.125;
  for (let i = 0; i < 8; i++) out[to + i] = round(step * ((vectors[index * 8 + i] as number) + shift));
}

export const iq1s: ReadBlock = (block, out, to) => {
  const d = half(block, 0);
  for (let l = 0; l < 32; l++) {
    const rest = block.getUint16(34 + 2 * (l >> 2), true);
    const index = block.getUint8(2 + l) | (((rest >> (3 * (l & 3))) & 7) << 8);
    const step = round(d * (2 * ((rest >> 12) & 7) + 1));
    putShifted(index, (rest & 0x8000) !== 0, { out, to: to + 8 * l, step });
  }
};

export const iq1m: ReadBlock = (block, out, to) => {
  const scales = (i: number): number => block.getUint16(48 + 2 * i, true);
  // The four highest bits of the scales are d.
  const d = float16ToNumber(
    (scales(0) >> 12) | ((scales(1) >> 12) << 4) | ((scales(2) >> 12) << 8) | ((scales(3) >> 12) << 12),
  );
  for (let l = 0; l < 32; l++) {
    const rest = nibble(block, 32, l);
    const step = round(d * (2 * ((scales(l >> 3) >> (3 * ((l >> 1) & 3))) & 7) + 1));
    putShifted(block.getUint8(l) | ((rest & 7) << 8), (rest & 8) !== 0, { out, to: to + 8 * l, step });
  }
};
