/**
 * Restores the unmasked pixels of an inpainted picture, because a model without mask channels redraws all of it.
 * The edge is soft, as A1111's: the mask is blurred, and counts double.
 */

import type { Image } from 'stable-diffusion-ts/image/image.ts';

const blurRadius = 4;

/** Means over a window along lines of a plane. */
function blurLines(plane: Float32Array, lines: number, length: number, step: number, next: number): Float32Array {
  const out = new Float32Array(plane.length);
  for (let line = 0; line < lines; line++) {
    for (let i = 0; i < length; i++) {
      let sum = 0;
      for (let j = i - blurRadius; j <= i + blurRadius; j++)
        sum += plane[line * next + Math.min(length - 1, Math.max(0, j)) * step] ?? 0;
      out[line * next + i * step] = sum / (2 * blurRadius + 1);
    }
  }
  return out;
}

/** All three of one size; the mask is white where the picture is new. */
export function keepUnmasked(made: Image<3>, given: Image<3>, mask: Image): Image<3> {
  const { width, height } = made;
  let share = Float32Array.from({ length: width * height }, (_, i) =>
    (mask.data[i * mask.channels] ?? 0) > 127 ? 1 : 0,
  );
  // Two passes of a box make a triangle, which is near enough to a Gaussian.
  for (let pass = 0; pass < 2; pass++)
    share = blurLines(blurLines(share, height, width, 1, width), width, height, width, 1) as Float32Array<ArrayBuffer>;
  const data = made.data.map((level, i) => {
    const fresh = Math.min(1, 2 * (share[Math.floor(i / 3)] ?? 0));
    return Math.round(level * fresh + (given.data[i] ?? 0) * (1 - fresh));
  });
  return { ...made, data };
}
