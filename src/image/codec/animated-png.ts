/** Animated PNG (APNG 1.0, now in the PNG specification, third edition): frames of one size, each an encoded PNG, become one file. */

import { StableDiffusionError } from '../../errors.ts';
import { encodePngChunk, encodePngFile, pngChunks } from '../metadata/png-chunks.ts';

const sameHeader = (a: Uint8Array, b: Uint8Array): boolean => a.every((byte, i) => byte === b[i]);

/** Frame control: the whole picture, shown for so many milliseconds, in place of the last. */
function frameControl(sequence: number, header: Uint8Array, milliseconds: number): Uint8Array {
  const data = new Uint8Array(26);
  const view = new DataView(data.buffer);
  view.setUint32(0, sequence);
  data.set(header.subarray(0, 8), 4);
  view.setUint16(20, Math.min(65_535, milliseconds));
  view.setUint16(22, 1000);
  return encodePngChunk('fcTL', data);
}

/**
 * The file plays without end. `after`: further chunks, type and data, between the pixels and the end. One frame alone makes a plain PNG.
 * Throws `invalid-argument` for frames of unlike sizes or kinds of pixels.
 */
export function animatedPng(
  frames: readonly Uint8Array[],
  {
    milliseconds,
    after = [],
  }: { readonly milliseconds: number; readonly after?: readonly (readonly [string, Uint8Array])[] },
): Uint8Array {
  const parts: Uint8Array[] = [];
  const isAnimated = frames.length > 1;
  let first: Uint8Array | undefined;
  let sequence = 0;
  for (const frame of frames) {
    const chunks = [...pngChunks(frame)];
    const header = chunks.find(({ type }) => type === 'IHDR')?.data ?? new Uint8Array(13);
    if (first && !sameHeader(first, header))
      throw new StableDiffusionError('invalid-argument', 'The frames of an animated PNG must have one size and kind.');
    if (!first) {
      parts.push(encodePngChunk('IHDR', header));
      const control = new Uint8Array(8);
      new DataView(control.buffer).setUint32(0, frames.length);
      if (isAnimated) parts.push(encodePngChunk('acTL', control));
    }
    if (isAnimated) parts.push(frameControl(sequence++, header, milliseconds));
    for (const { type, data } of chunks) {
      if (type !== 'IDAT') continue;
      if (!first) parts.push(encodePngChunk('IDAT', data));
      else {
        const numbered = new Uint8Array(4 + data.length);
        new DataView(numbered.buffer).setUint32(0, sequence++);
        numbered.set(data, 4);
        parts.push(encodePngChunk('fdAT', numbered));
      }
    }
    first ??= header;
  }
  const end = [...after.map(([type, data]) => encodePngChunk(type, data)), encodePngChunk('IEND', new Uint8Array())];
  return encodePngFile([...parts, ...end]);
}
