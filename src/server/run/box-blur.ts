/** Gaussian blurs of byte images by three box blurs in each direction (as Pillow's `GaussianBlur`): the time does not depend on the radius. */

import { createImage, type Image } from '../../image/image.ts';

/** One pass over lines of `length` values `stride` apart; the ends are repeated. The radius may have a fraction. */
function blurLines(values: Float32Array, out: Float32Array, starts: readonly number[], length: number, stride: number, radius: number): void {
  const whole = Math.floor(radius);
  const edge = radius - whole;
  const scale = 1 / (2 * radius + 1);
  for (const start of starts) {
    const at = (i: number): number => values[start + Math.min(length - 1, Math.max(0, i)) * stride] as number;
    let sum = 0;
    for (let i = -whole; i <= whole; i++) sum += at(i);
    for (let i = 0; i < length; i++) {
      out[start + i * stride] = (sum + edge * (at(i - whole - 1) + at(i + whole + 1))) * scale;
      sum += at(i + whole + 1) - at(i - whole);
    }
  }
}

/** Radius of each of three boxes whose convolution has this standard deviation. */
const boxRadius = (sigma: number): number => (Math.sqrt(4 * sigma * sigma + 1) - 1) / 2;

/** Blurs with standard deviations in pixels; all channels alike. */
export function gaussianBlur<C extends 1 | 3 | 4>(image: Image<C>, sigmaX: number, sigmaY: number): Image<C> {
  const { width, height, channels } = image;
  let values = Float32Array.from(image.data);
  let other = new Float32Array(values.length);
  const rows: number[] = [];
  const columns: number[] = [];
  for (let y = 0; y < height; y++) for (let c = 0; c < channels; c++) rows.push(y * width * channels + c);
  for (let x = 0; x < width * channels; x++) columns.push(x);
  for (const [sigma, starts, length, stride] of [[sigmaX, rows, width, channels], [sigmaY, columns, height, width * channels]] as const) {
    if (!(sigma > 0)) continue;
    for (let pass = 0; pass < 3; pass++) {
      blurLines(values, other, starts, length, stride, boxRadius(sigma));
      [values, other] = [other, values];
    }
  }
  return createImage(width, height, channels, Uint8Array.from(values, (value) => Math.min(255, Math.max(0, Math.round(value)))));
}
