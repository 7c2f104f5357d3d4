/**
 * The invisible watermark of the CompVis scripts: invisible-watermark 0.2.0, method `dwtDct` (`EmbedMaxDct`), which despite its name uses no
 * cosine transform. Bits go, one a 4x4 block of the Haar approximation of the U channel, into the block's largest coefficient but the first.
 *
 * Bytes come out as the original's: OpenCV's fixed-point YUV, PyWavelets' order of operations, NumPy's truncating store, and the original's
 * exchange of the horizontal and vertical bands when it puts the picture together again (which costs detail in U; decoding needs it not).
 */

import { StableDiffusionError } from '../errors.ts';
import { haarForward, haarInverse } from './haar-wavelet.ts';
import { createImage, type Image } from './image.ts';

/** The bytes CompVis' scripts embed: "StableDiffusionV1". */
export const stableDiffusionWatermark: Uint8Array = new TextEncoder().encode('StableDiffusionV1');

/** Images of fewer pixels carry no mark: the original refuses them. */
export const watermarkMinimumPixels = 256 * 256;

/** True if an image is large enough for a watermark. */
export function canWatermark(image: { readonly width: number; readonly height: number }): boolean {
  return image.width * image.height >= watermarkMinimumPixels;
}

const scale = 36;
const block = 4;

/** Rounded shift of OpenCV's CV_DESCALE with its 14 bits. */
const descale = (value: number): number => (value + (1 << 13)) >> 14;
const clip8 = (value: number): number => Math.max(0, Math.min(255, value));

const lumaOf = (r: number, g: number, b: number): number => descale(b * 1868 + g * 9617 + r * 4899);

/** U of `COLOR_BGR2YUV`, cropped to whole multiples of 4 pixels. */
function chromaPlane(image: Image<3>): { readonly plane: Uint8Array; readonly height: number; readonly width: number } {
  const height = image.height - (image.height % 4);
  const width = image.width - (image.width % 4);
  const plane = new Uint8Array(height * width);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, from = y * image.width * 3; x < width; x++, from += 3) {
      const [r, g, b] = [image.data[from] as number, image.data[from + 1] as number, image.data[from + 2] as number];
      plane[to++] = clip8(descale((b - lumaOf(r, g, b)) * 8061 + (128 << 14)));
    }
  }
  return { plane, height, width };
}

/** Position of a block's coefficient of largest magnitude, the first excepted. */
function strongest(band: Float64Array, columns: number, top: number, left: number): number {
  let best = -1;
  let bestAt = 0;
  for (let i = 1; i < block * block; i++) {
    const at = (top + Math.floor(i / block)) * columns + left + (i % block);
    const magnitude = Math.abs(band[at] as number);
    if (magnitude > best) {
      best = magnitude;
      bestAt = at;
    }
  }
  return bestAt;
}

/** NumPy's `value // scale` for a value of at least 0. */
function floorDivide(value: number): number {
  const quotient = (value - (value % scale)) / scale;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

function checkSize(image: Image<3>): void {
  if (!canWatermark(image)) {
    throw new StableDiffusionError(
      'invalid-argument',
      `An image of ${image.width}x${image.height} pixels is too small for the invisible watermark, which needs 256x256 pixels or as many. Make a larger image, or turn the watermark off.`,
    );
  }
}

/** Most significant bit first. */
function unpackBits(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: bytes.length * 8 }, (_, i) => ((bytes[i >> 3] as number) >> (7 - (i & 7))) & 1);
}

/** Calls `visit` for each block, in the original's order. */
function forEachBlock(rows: number, columns: number, visit: (number: number, top: number, left: number) => void): void {
  let number = 0;
  for (let top = 0; top + block <= rows; top += block) {
    for (let left = 0; left + block <= columns; left += block) visit(number++, top, left);
  }
}

/** A copy of the image that carries `bytes`. Throws `invalid-argument` for images of fewer than 256 x 256 pixels in all. */
export function embedWatermark(image: Image<3>, bytes: Uint8Array = stableDiffusionWatermark): Image<3> {
  checkSize(image);
  const bits = unpackBits(bytes);
  const { plane, height, width } = chromaPlane(image);
  const bands = haarForward(plane, height, width);
  const band = bands.approximation;
  forEachBlock(bands.rows, bands.columns, (number, top, left) => {
    const at = strongest(band, bands.columns, top, left);
    const value = band[at] as number;
    const marked = (floorDivide(Math.abs(value)) + 0.25 + 0.5 * (bits[number % bits.length] as number)) * scale;
    band[at] = value >= 0 ? marked : -marked;
  });
  // A store of doubles into uint8: truncated, and wrapped where out of range, in NumPy as in a typed array.
  const chroma = Uint8Array.from(haarInverse({ ...bands, horizontal: bands.vertical, vertical: bands.horizontal }));

  // The whole picture goes through YUV and back, also the rim that carries nothing.
  const out = createImage(image.width, image.height, 3);
  for (let y = 0, at = 0; y < image.height; y++) {
    for (let x = 0; x < image.width; x++, at += 3) {
      const [r, g, b] = [image.data[at] as number, image.data[at + 1] as number, image.data[at + 2] as number];
      const luma = lumaOf(r, g, b);
      const inside = y < height && x < width;
      const u = (inside ? (chroma[y * width + x] as number) : clip8(descale((b - luma) * 8061 + (128 << 14)))) - 128;
      const v = clip8(descale((r - luma) * 14369 + (128 << 14))) - 128;
      out.data[at] = clip8(luma + descale(v * 18678));
      out.data[at + 1] = clip8(luma + descale(u * -6472 + v * -9519));
      out.data[at + 2] = clip8(luma + descale(u * 33292));
    }
  }
  return out;
}

/** The `length` bytes read from an image, marked or not: the original's majority vote over all blocks. Errors as `embedWatermark`. */
export function decodeWatermark(image: Image<3>, length: number = stableDiffusionWatermark.length): Uint8Array {
  checkSize(image);
  const { plane, height, width } = chromaPlane(image);
  const { approximation, rows, columns } = haarForward(plane, height, width);
  const ones = new Uint32Array(length * 8);
  const votes = new Uint32Array(length * 8);
  forEachBlock(rows, columns, (number, top, left) => {
    const bit = number % votes.length;
    const value = Math.abs(approximation[strongest(approximation, columns, top, left)] as number);
    votes[bit] = (votes[bit] as number) + 1;
    if (value % scale > 0.5 * scale) ones[bit] = (ones[bit] as number) + 1;
  });
  const bytes = new Uint8Array(length);
  for (let i = 0; i < votes.length; i++) {
    if (((ones[i] as number) / (votes[i] as number)) * 255 > 127)
      bytes[i >> 3] = (bytes[i >> 3] as number) | (0x80 >> (i & 7));
  }
  return bytes;
}
