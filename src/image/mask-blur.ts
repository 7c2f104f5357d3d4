/** The blur of A1111's masks: `cv2.GaussianBlur` with a window of `2 * int(2.5 * sigma + 0.5) + 1` pixels (modules/processing.py, v1.10.1). */

import { createImage, type Image } from './image.ts';

/** `cv2.getGaussianKernel`, in double precision. */
function window(sigma: number): Float64Array {
  const half = Math.trunc(2.5 * sigma + 0.5);
  const raw = Float64Array.from({ length: 2 * half + 1 }, (_, i) => Math.exp(-((i - half) ** 2) / (2 * sigma * sigma)));
  const total = raw.reduce((sum, value) => sum + value, 0);
  return raw.map((value) => value / total);
}

/** Position `i` with the edges mirrored about their pixels (d c b | a b c d | c b a). */
function mirrored(i: number, length: number): number {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const at = ((i % period) + period) % period;
  return at < length ? at : period - at;
}

/** One direction: `count` lines of `length` pixels, `step` apart. */
function blurLines(
  from: Uint8Array,
  sigma: number,
  lines: { readonly count: number; readonly length: number; readonly step: number; readonly next: number },
): Uint8Array<ArrayBuffer> {
  const { count, length, step, next } = lines;
  const weights = window(sigma);
  const half = (weights.length - 1) / 2;
  const places = Int32Array.from({ length: length + 2 * half }, (_, i) => mirrored(i - half, length) * step);
  const out = new Uint8Array(from.length);
  for (let line = 0; line < count; line++) {
    const start = line * next;
    for (let i = 0; i < length; i++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++)
        sum += (weights[k] as number) * (from[start + (places[i + k] as number)] as number);
      out[start + i * step] = Math.round(sum);
    }
  }
  return out;
}

/** Blurs along x, then along y, each rounded to bytes. Standard deviations in pixels; 0 leaves a direction as it is. */
export function blurMask(mask: Image<1>, sigmaX: number, sigmaY: number): Image<1> {
  const { width, height } = mask;
  let data: Uint8Array<ArrayBuffer> = Uint8Array.from(mask.data);
  if (sigmaX > 0) data = blurLines(data, sigmaX, { count: height, length: width, step: 1, next: width });
  if (sigmaY > 0) data = blurLines(data, sigmaY, { count: width, length: height, step: width, next: 1 });
  return createImage(width, height, 1, data);
}
