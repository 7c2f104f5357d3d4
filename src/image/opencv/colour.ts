/** Colour as OpenCV 4.11's 8-bit `cv2.cvtColor` and `cv2.threshold` have it (modules/imgproc/src/color_rgb.simd.hpp, color_lab.cpp, thresh.cpp). */

import { createImage, type Image } from '../image.ts';

/** RGB to grey in 15 bits; Pillow's is `toGrey`. */
export function greyOf({ width, height, data }: Image<3>): Image<1> {
  const out = new Uint8Array(width * height);
  for (let i = 0; i < out.length; i++)
    out[i] =
      ((data[3 * i] as number) * 9798 +
        (data[3 * i + 1] as number) * 19235 +
        (data[3 * i + 2] as number) * 3735 +
        2 ** 14) >>
      15;
  return createImage(width, height, 1, out);
}

/** The level that separates a grey picture's two groups best (Otsu 1979). */
export function otsuLevel({ data }: Image<1>): number {
  const counts = new Float64Array(256);
  for (const value of data) counts[value] = (counts[value] as number) + 1;
  const scale = 1 / data.length;
  const mean = counts.reduce((sum, count, level) => sum + level * count, 0) * scale;
  let [lower, share, best, level] = [0, 0, 0, 0];
  for (const [i, count] of counts.entries()) {
    const part = count * scale;
    lower *= share;
    share += part;
    const rest = 1 - share;
    if (Math.min(share, rest) < 2 ** -23 || Math.max(share, rest) > 1 - 2 ** -23) continue;
    lower = (lower + i * part) / share;
    const upper = (mean - share * lower) / rest;
    const between = share * rest * (lower - upper) ** 2;
    if (between > best) [best, level] = [between, i];
  }
  return level;
}
