/** The least value around each pixel, as OpenCV's `cv2.erode` with a square of ones; what lies outside does not count. */

import { floatImage, type FloatImage } from '../float-image.ts';

/** Minima of windows of `size` values in a line, from `size / 2` before each place, in time that does not grow with the size. */
function minimaOf(line: Float32Array, size: number): Float32Array {
  const before = size >> 1;
  const length = line.length + size - 1;
  const at = (i: number): number => {
    const value = line[i - before];
    return value === undefined ? Number.POSITIVE_INFINITY : value;
  };
  // Minima from the start of each block of `size` places, and to its end (van Herk 1992).
  const [forward, backward] = [new Float64Array(length), new Float64Array(length)];
  for (let i = 0; i < length; i++) forward[i] = i % size === 0 ? at(i) : Math.min(forward[i - 1] as number, at(i));
  for (let i = length - 1; i >= 0; i--)
    backward[i] = i === length - 1 || (i + 1) % size === 0 ? at(i) : Math.min(backward[i + 1] as number, at(i));
  return line.map((_, i) => Math.min(backward[i] as number, forward[i + size - 1] as number));
}

/** Of a picture of one channel, with a square of `size` pixels. */
export function erode({ width, height, data }: FloatImage, size: number): FloatImage {
  const across = new Float32Array(data.length);
  for (let y = 0; y < height; y++) across.set(minimaOf(data.slice(y * width, (y + 1) * width), size), y * width);
  const out = floatImage(width, height, 1);
  const column = new Float32Array(height);
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) column[y] = across[y * width + x] as number;
    for (const [y, value] of minimaOf(column, size).entries()) out.data[y * width + x] = value;
  }
  return out;
}
