/** Animated WebP (RFC 9649, 2.7): frames of one size, each an encoded WebP, become one file. */

import { StableDiffusionError } from '../../errors.ts';
import { webpChunk, webpChunks, webpFile } from '../metadata/webp-chunks.ts';
import { inspectImageFile } from './image-file.ts';

/** A number of three bytes, little-endian. */
function setUint24(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 3; i++) bytes[at + i] = (value >> (8 * i)) & 0xff;
}

const animationFlag = 0x02;
const alphaFlag = 0x10;
/** The frame takes the place of what is there. */
const noBlending = 0x02;

/** The pixels of a file: an image chunk, with its alpha before it where that is apart. */
const pixelsOf = (file: Uint8Array): readonly (readonly [type: string, data: Uint8Array])[] =>
  [...webpChunks(file)].filter(([type]) => ['ALPH', 'VP8 ', 'VP8L'].includes(type));

/** The file plays without end. Throws `invalid-argument` for frames of unlike sizes. */
export function animatedWebp(frames: readonly Uint8Array[], milliseconds: number): Uint8Array {
  const sizes = frames.map((frame) => inspectImageFile(frame, Number.POSITIVE_INFINITY));
  const { width = 1, height = 1 } = sizes[0] ?? {};
  if (sizes.some((size) => size.width !== width || size.height !== height))
    throw new StableDiffusionError('invalid-argument', 'The frames of an animated WebP must have one size.');
  const parts = frames.map(pixelsOf);
  const hasAlpha = parts
    .flat()
    .some(([type, data]) => type === 'ALPH' || (type === 'VP8L' && ((data[4] ?? 0) & 0x10) !== 0));
  const header = new Uint8Array(10);
  header[0] = animationFlag | (hasAlpha ? alphaFlag : 0);
  setUint24(header, 4, width - 1);
  setUint24(header, 7, height - 1);
  const animated = parts.map((pixels) => {
    const control = new Uint8Array(16);
    setUint24(control, 6, width - 1);
    setUint24(control, 9, height - 1);
    setUint24(control, 12, Math.min(0xffffff, milliseconds));
    control[15] = noBlending;
    const chunks = pixels.map(([type, data]) => webpChunk(type, data));
    const data = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, control.length));
    data.set(control);
    let at = control.length;
    for (const chunk of chunks) {
      data.set(chunk, at);
      at += chunk.length;
    }
    return webpChunk('ANMF', data);
  });
  return webpFile([webpChunk('VP8X', header), webpChunk('ANIM', new Uint8Array(6)), ...animated]);
}
