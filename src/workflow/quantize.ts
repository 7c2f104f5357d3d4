/** Pictures in a few colours as ComfyUI's ImageQuantize: Pillow's median cut, with its dithering or an ordered one (Bayer 1973). */

import { medianCut } from '../image/median-cut.ts';
import { ditheredPixels, matchedPixels } from '../image/palette-match.ts';
import type { Float32 } from './grids.ts';
import { byteOf } from './pictures.ts';

/** Thresholds around 0 of a square of 2^n by 2^n. */
function bayerMatrix(n: number): readonly (readonly number[])[] {
  if (n === 0) return [[0]];
  const inner = bayerMatrix(n - 1);
  const all = 4 ** n;
  const row = (left: number, right: number): number[][] =>
    inner.map((values) => [
      ...values.map((v) => (all * v + left) / all),
      ...values.map((v) => (all * v + right) / all),
    ]);
  return [...row(-1.5, 0.5), ...row(1.5, -0.5)];
}

/** Each pixel moved by the threshold at its place, by as much as colours lie apart. */
function ordered(pixels: Uint8Array, width: number, order: number, colours: number): Uint8Array {
  const matrix = bayerMatrix(Math.log2(order));
  const spread = 512 / colours;
  const moved = matrix.map((row) => row.map((value) => Math.fround(Math.fround(spread * value) + 0.5)));
  return pixels.map((value, i) => {
    const pixel = Math.floor(i / 3);
    const threshold = moved[Math.floor(pixel / width) % order]?.[(pixel % width) % order] ?? 0;
    return Math.min(255, Math.max(0, Math.fround(value + threshold)));
  });
}

function quantizedPixels(pixels: Uint8Array, width: number, colours: number, dither: string): Uint8Array {
  const palette = medianCut(pixels, colours);
  if (dither === 'floyd-steinberg') return ditheredPixels(pixels, width, palette);
  const order = Number(/^bayer-(\d+)$/.exec(dither)?.[1] ?? 0);
  return matchedPixels(order > 0 ? ordered(pixels, width, order, palette.length / 3) : pixels, palette);
}

/** Pictures [b, h, w, 3], each with a palette of its own. `dither`: `none`, `floyd-steinberg`, `bayer-2` to `bayer-16`. */
export function quantized(image: Float32, colours: number, dither: string): Float32 {
  const [batch = 1, , width = 1] = image.shape;
  const size = image.data.length / batch;
  const data = new Float32Array(image.data.length);
  for (let b = 0; b < batch; b++) {
    const pixels = Uint8Array.from(image.data.subarray(b * size, (b + 1) * size), byteOf);
    data.set(
      Float32Array.from(quantizedPixels(pixels, width, colours, dither), (byte) => byte / 255),
      b * size,
    );
  }
  return { ...image, data };
}
