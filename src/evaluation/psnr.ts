/** Peak signal-to-noise ratio of 8-bit pictures, in decibels: 20 log10(255 / sqrt(mse)), over all channels (`calculate_psnr` of ldm's utils_image.py). */

import { StableDiffusionError } from '../errors.ts';
import { crop, type Image } from '../image/image.ts';

export interface BorderOptions {
  /** Pixels left away on every side, as is usual for super-resolution. Default 0. */
  readonly border?: number;
}

/** Infinity for equal pictures. Throws `shape-mismatch` where sizes or channels differ. */
export function psnr(a: Image, b: Image, options: BorderOptions = {}): number {
  const error = meanSquaredError(a, b, options);
  return error === 0 ? Number.POSITIVE_INFINITY : 20 * Math.log10(255 / Math.sqrt(error));
}

/** In squared levels, 0 to 255^2. */
export function meanSquaredError(a: Image, b: Image, options: BorderOptions = {}): number {
  const [p, q] = cropped(a, b, options);
  let sum = 0;
  for (let i = 0; i < p.data.length; i++) sum += ((p.data[i] as number) - (q.data[i] as number)) ** 2;
  return sum / p.data.length;
}

/** Crops the border of both pictures. */
export function cropped(a: Image, b: Image, { border = 0 }: BorderOptions): [Image, Image] {
  if (a.width !== b.width || a.height !== b.height || a.channels !== b.channels) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `Pictures of ${a.width}x${a.height} with ${a.channels} channels and of ${b.width}x${b.height} with ${b.channels} cannot be compared.`,
    );
  }
  if (border === 0) return [a, b];
  if (!Number.isInteger(border) || border < 0 || 2 * border >= Math.min(a.width, a.height)) {
    throw new StableDiffusionError(
      'invalid-argument',
      `A border of ${border} leaves nothing of a picture of ${a.width}x${a.height}.`,
    );
  }
  const inner = (image: Image): Image =>
    crop(image, border, border, image.width - 2 * border, image.height - 2 * border);
  return [inner(a), inner(b)];
}
