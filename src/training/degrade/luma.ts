/** MATLAB's `rgb2ycbcr` (ITU-R BT.601, studio range) as in utils_image.py: the Y channel is what super-resolution is measured on. */

import { floatImage, type FloatImage } from '../../image/float-image.ts';

const rows: readonly (readonly [number, number, number, number])[] = [
  [65.481, 128.553, 24.966, 16],
  [-37.797, -74.203, 112, 128],
  [112, -93.786, -18.214, 128],
];

function transform(image: FloatImage, wanted: number): FloatImage {
  const out = floatImage(image.width, image.height, wanted);
  for (let i = 0, from = 0, to = 0; i < image.width * image.height; i++, from += 3) {
    const level = (c: number): number => Math.fround((image.data[from + c] as number) * 255);
    for (let c = 0; c < wanted; c++) {
      const [r, g, b, offset] = rows[c] as readonly [number, number, number, number];
      out.data[to++] = ((level(0) * r + level(1) * g + level(2) * b) / 255 + offset) / 255;
    }
  }
  return out;
}

/** Y, Cb, Cr of RGB in [0, 1]: Y from 16 / 255 to 235 / 255. */
export function rgbToYcbcr(image: FloatImage): FloatImage {
  return transform(image, 3);
}

/** Y alone. */
export function rgbToLuma(image: FloatImage): FloatImage {
  return transform(image, 1);
}
