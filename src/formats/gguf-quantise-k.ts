/**
 * Quantisation to GGUF's blocks of 256 with scales of their own for each 16 or 32 elements (the "K" types), equal to the bit to ggml's reference
 * (`quantize_row_q2_K_ref` … `quantize_row_q6_K_ref` of ggml-quants.c, compiled without fused multiply-adds). Each sub-block tries several steps
 * and keeps that of the least weighted error. `gguf-blocks.ts` reads the blocks.
 */

import { float16ToNumber, numberToFloat16 } from '../tensor/convert.ts';
import { movedStep, nearestInteger, offsetStep, symmetricStep, type SubBlocks } from './gguf-k-steps.ts';

/** Elements of a block. */
export const kBlockSize = 256;

const round = Math.fround;

const quants = new Uint8Array(kBlockSize);
const steps = new Float32Array(16);
const minima = new Float32Array(16);

/** Writes a number as float16 and gives it as it is read. */
function writeHalf(out: DataView, at: number, value: number): number {
  const bits = numberToFloat16(value);
  out.setUint16(at, bits, true);
  return float16ToNumber(bits);
}

const clamped = (value: number, least: number, most: number): number => Math.max(least, Math.min(most, value));

/** Four elements of two bits in a byte: 128 elements lie in 32 bytes. */
function writePairs(out: DataView, at: number): void {
  for (let part = 0; part < 2; part++)
    for (let l = 0; l < 32; l++) {
      let byte = 0;
      for (let quarter = 0; quarter < 4; quarter++)
        byte |= (quants[128 * part + 32 * quarter + l] as number) << (2 * quarter);
      out.setUint8(at + 32 * part + l, byte & 255);
    }
}

/** Steps and least values of the sub-blocks, and the greatest of each. */
function withOffsets(values: Float32Array, from: number, sub: SubBlocks): readonly [step: number, minimum: number] {
  let [step, minimum] = [0, 0];
  for (let j = 0; j * sub.length < kBlockSize; j++) {
    const found = offsetStep(values, from + j * sub.length, sub, quants, j * sub.length);
    steps[j] = found.step;
    minima[j] = found.minimum;
    step = Math.max(step, found.step);
    minimum = Math.max(minimum, found.minimum);
  }
  return [step, minimum];
}

/** The elements of sub-block j again, by its step and minimum as they are stored. A step of zero leaves them. */
function requantise(values: Float32Array, at: number, to: number, length: number, d: number, m: number, last: number) {
  if (d === 0) return;
  for (let i = 0; i < length; i++)
    quants[to + i] = clamped(nearestInteger(round(round((values[at + i] as number) + m) / d)), 0, last);
}

const q2Blocks: SubBlocks = { length: 16, last: 3, first: -0.5, change: 0.1, tries: 15, weights: 'size' };

export function writeQ2K(values: Float32Array, from: number, out: DataView, at: number): void {
  const [step, minimum] = withOffsets(values, from, q2Blocks);
  const stepFactor = step > 0 ? round(15 / step) : 0;
  const minimumFactor = minimum > 0 ? round(15 / minimum) : 0;
  const d = writeHalf(out, at + 80, round(step / 15));
  const dmin = writeHalf(out, at + 82, round(minimum / 15));
  for (let j = 0; j < 16; j++) {
    const scale = nearestInteger(round(stepFactor * (steps[j] as number)));
    const least = nearestInteger(round(minimumFactor * (minima[j] as number)));
    const byte = (scale | (least << 4)) & 255;
    out.setUint8(at + j, byte);
    requantise(values, from + 16 * j, 16 * j, 16, round(d * (byte & 15)), round(dmin * (byte >> 4)), 3);
  }
  writePairs(out, at + 16);
}

export function writeQ3K(values: Float32Array, from: number, out: DataView, at: number): void {
  let largest = 0;
  for (let j = 0; j < 16; j++) {
    const step = movedStep(values, from + 16 * j, quants, 16 * j);
    steps[j] = step;
    if (Math.abs(step) > Math.abs(largest)) largest = step;
  }
  const factor = largest === 0 ? 0 : round(-32 / largest);
  const d = writeHalf(out, at + 108, largest === 0 ? 0 : round(1 / factor));
  for (let i = 0; i < 12; i++) out.setUint8(at + 96 + i, 0);
  const add = (place: number, bits: number): void => out.setUint8(place, out.getUint8(place) | (bits & 255));
  for (let j = 0; j < 16; j++) {
    const scale = largest === 0 ? 0 : clamped(nearestInteger(round(factor * (steps[j] as number))), -32, 31) + 32;
    add(at + 96 + (j % 8), (scale & 15) << (j < 8 ? 0 : 4));
    add(at + 104 + (j % 4), (scale >> 4) << (2 * (j >> 2)));
    const step = round(d * (scale - 32));
    if (step === 0) continue;
    for (let i = 16 * j; i < 16 * (j + 1); i++)
      quants[i] = clamped(nearestInteger(round((values[from + i] as number) / step)), -4, 3) + 4;
  }
  for (let i = 0; i < 32; i++) out.setUint8(at + i, 0);
  for (let i = 0; i < kBlockSize; i++) {
    if ((quants[i] as number) <= 3) continue;
    add(at + (i & 31), 1 << (i >> 5));
    quants[i] = (quants[i] as number) - 4;
  }
  writePairs(out, at + 32);
}

/** Six bits each for the scales and minima of eight sub-blocks, in 12 bytes. */
function writeScales(out: DataView, at: number, scales: Uint8Array, least: Uint8Array): void {
  for (let j = 0; j < 4; j++) {
    const [scale, minimum] = [scales[j + 4] as number, least[j + 4] as number];
    out.setUint8(at + j, (scales[j] as number) | ((scale >> 4) << 6));
    out.setUint8(at + 4 + j, (least[j] as number) | ((minimum >> 4) << 6));
    out.setUint8(at + 8 + j, (scale & 15) | ((minimum & 15) << 4));
  }
}

const ownScales = new Uint8Array(8);
const ownLeast = new Uint8Array(8);

/** What Q4_K and Q5_K share: all but the elements' bits. */
function writeOffsets(values: Float32Array, from: number, out: DataView, at: number, sub: SubBlocks): void {
  const [step, minimum] = withOffsets(values, from, sub);
  const stepFactor = step > 0 ? round(63 / step) : 0;
  const minimumFactor = minimum > 0 ? round(63 / minimum) : 0;
  const d = writeHalf(out, at, round(step / 63));
  const dmin = writeHalf(out, at + 2, round(minimum / 63));
  for (let j = 0; j < 8; j++) {
    ownScales[j] = Math.min(63, nearestInteger(round(stepFactor * (steps[j] as number))) & 255);
    ownLeast[j] = Math.min(63, nearestInteger(round(minimumFactor * (minima[j] as number))) & 255);
    const [own, offset] = [round(d * (ownScales[j] as number)), round(dmin * (ownLeast[j] as number))];
    requantise(values, from + 32 * j, 32 * j, 32, own, offset, sub.last);
  }
  writeScales(out, at + 4, ownScales, ownLeast);
}

/** 64 elements lie in 32 bytes of nibbles. */
function writeNibbles(out: DataView, at: number): void {
  for (let i = 0; i < 128; i++) {
    const first = ((i >> 5) << 6) + (i & 31);
    out.setUint8(at + i, ((quants[first] as number) & 15) | (((quants[first + 32] as number) & 15) << 4));
  }
}

const q4Blocks: SubBlocks = { length: 32, last: 15, first: -1, change: 0.1, tries: 20, weights: 'size over mean' };

export function writeQ4K(values: Float32Array, from: number, out: DataView, at: number): void {
  writeOffsets(values, from, out, at, q4Blocks);
  writeNibbles(out, at + 16);
}

const q5Blocks: SubBlocks = { length: 32, last: 31, first: -0.5, change: 0.1, tries: 15, weights: 'size over mean' };

export function writeQ5K(values: Float32Array, from: number, out: DataView, at: number): void {
  writeOffsets(values, from, out, at, q5Blocks);
  for (let l = 0; l < 32; l++) {
    let fifths = 0;
    for (let j = 0; j < 8; j++) fifths |= ((quants[32 * j + l] as number) >> 4) << j;
    out.setUint8(at + 16 + l, fifths);
  }
  writeNibbles(out, at + 48);
}

export function writeQ6K(values: Float32Array, from: number, out: DataView, at: number): void {
  let largest = 0;
  for (let j = 0; j < 16; j++) {
    const step = symmetricStep(values, from + 16 * j, quants, 16 * j);
    steps[j] = step;
    if (Math.abs(step) > Math.abs(largest)) largest = step;
  }
  if (Math.abs(largest) < round(1e-15)) {
    for (let i = 0; i < 210; i++) out.setUint8(at + i, 0);
    return;
  }
  const factor = round(-128 / largest);
  const d = writeHalf(out, at + 208, round(1 / factor));
  for (let j = 0; j < 16; j++) {
    out.setInt8(at + 192 + j, Math.min(127, nearestInteger(round(factor * (steps[j] as number)))));
    const step = round(d * out.getInt8(at + 192 + j));
    if (step === 0) continue;
    for (let i = 16 * j; i < 16 * (j + 1); i++)
      quants[i] = clamped(nearestInteger(round((values[from + i] as number) / step)), -32, 31) + 32;
  }
  for (let part = 0; part < 2; part++)
    for (let l = 0; l < 32; l++) {
      const first = 128 * part + l;
      const [a, b] = [quants[first] as number, quants[first + 32] as number];
      const [c, e] = [quants[first + 64] as number, quants[first + 96] as number];
      out.setUint8(at + 64 * part + l, (a & 15) | ((c & 15) << 4));
      out.setUint8(at + 64 * part + 32 + l, (b & 15) | ((e & 15) << 4));
      out.setUint8(at + 128 + 32 * part + l, (a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((e >> 4) << 6));
    }
}
