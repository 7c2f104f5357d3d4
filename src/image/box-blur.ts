/** Gaussian blurs of byte images by three box blurs in each direction, exactly as Pillow's `GaussianBlur` (libImaging/BoxBlur.c): the time does not depend on the radius. */

import { createImage, type Image } from './image.ts';

/** The layout of a pass: `count` runs of `length` positions with `size` adjacent values each; it blurs along the positions. */
interface Lines {
  readonly count: number;
  readonly length: number;
  readonly size: number;
}

const { fround } = Math;

/** One pass in fixed point of 24 bits, rounded to bytes; the ends are repeated. The radius may have a fraction. */
function blurLines(values: Uint8Array, out: Uint8Array, { count, length, size }: Lines, radius: number): void {
  const whole = Math.floor(radius);
  const weight = Math.trunc(fround(2 ** 24 / fround(fround(radius * 2) + 1)));
  const edge = Math.floor((2 ** 24 - (whole * 2 + 1) * weight) / 2);
  const sums = new Float64Array(size);
  for (let run = 0; run < count; run++) {
    const start = run * length * size;
    const place = (i: number): number => start + Math.min(length - 1, Math.max(0, i)) * size;
    sums.fill(0);
    for (let i = -whole; i <= whole; i++) {
      const at = place(i);
      for (let j = 0; j < size; j++) sums[j] = (sums[j] as number) + (values[at + j] as number);
    }
    for (let i = 0; i < length; i++) {
      const [here, before, after, last] = [
        start + i * size,
        place(i - whole - 1),
        place(i + whole + 1),
        place(i - whole),
      ];
      for (let j = 0; j < size; j++) {
        const next = values[after + j] as number;
        const sum = sums[j] as number;
        out[here + j] = Math.floor((sum * weight + ((values[before + j] as number) + next) * edge + 2 ** 23) / 2 ** 24);
        sums[j] = sum + (next - (values[last + j] as number));
      }
    }
  }
}

/** Radius of each of three boxes, the outermost values weighed in part, whose convolution has this standard deviation (Pillow's `_gaussian_blur_radius`, in float32). */
function boxRadius(sigma: number): number {
  const variance = fround(fround(fround(sigma) * fround(sigma)) / 3);
  const whole = Math.floor((fround(Math.sqrt(12 * variance + 1)) - 1) / 2);
  const part = fround((2 * whole + 1) * fround(whole * (whole + 1) - fround(3 * variance)));
  return fround(whole + fround(part / fround(6 * fround(variance - (whole + 1) * (whole + 1)))));
}

/** Blurs with standard deviations in pixels; all channels alike. */
export function gaussianBlur<C extends 1 | 3 | 4>(image: Image<C>, sigmaX: number, sigmaY: number): Image<C> {
  const { width, height, channels } = image;
  let values = image.data.slice();
  let other = new Uint8Array(values.length);
  const along: Lines = { count: height, length: width, size: channels };
  const down: Lines = { count: 1, length: height, size: width * channels };
  for (const [sigma, lines] of [
    [sigmaX, along],
    [sigmaY, down],
  ] as const) {
    if (!(sigma > 0)) continue;
    for (let pass = 0; pass < 3; pass++) {
      blurLines(values, other, lines, boxRadius(sigma));
      [values, other] = [other, values];
    }
  }
  return createImage(width, height, channels, values);
}
