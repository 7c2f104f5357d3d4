/** A1111's filling of the hole under a mask (modules/masking.py, v1.10.1), exact to the byte. */

import { gaussianBlur } from './box-blur.ts';
import { createImage, type Image } from './image.ts';

/** (a · (255 - m) + b · m) / 255, rounded as Pillow does it. */
function mixed(a: number, b: number, m: number): number {
  const sum = a * (255 - m) + b * m + 128;
  return ((sum >> 8) + sum) >> 8;
}

/** Pillow's premultiplied colours as plain ones. */
function unpremultiplied({ width, height, data }: Image<4>): Image<4> {
  const out = data.slice();
  for (let i = 0; i < out.length; i += 4) {
    const alpha = out[i + 3] as number;
    if (alpha === 0 || alpha === 255) continue;
    for (let c = i; c < i + 3; c++) out[c] = Math.min(255, Math.trunc((255 * (out[c] as number)) / alpha));
  }
  return createImage(width, height, 4, out);
}

const over255 = (value: number): number => ((value >> 8) + value) >> 8;

/** Lays `source` over `target`, which is changed (Pillow's `alpha_composite`, in its integers). */
function layOver(target: Uint8Array, source: Uint8Array): void {
  for (let i = 0; i < target.length; i += 4) {
    const alpha = source[i + 3] as number;
    if (alpha === 0) continue;
    const whole = alpha * 255 + (target[i + 3] as number) * (255 - alpha);
    const share = Math.floor((alpha * 255 * 255 * 128) / whole);
    const rest = 255 * 128 - share;
    for (let c = i; c < i + 3; c++)
      target[c] = over255((source[c] as number) * share + (target[c] as number) * rest + 128 * 128) >> 7;
    target[i + 3] = over255(whole + 128);
  }
}

/** Blurs, and how often each is laid over those before it. */
const layers = [
  [256, 1],
  [64, 1],
  [16, 2],
  [4, 4],
  [2, 2],
  [0, 1],
] as const;

/** `masking.fill`: the hole, white in the mask, gets the colours around it, from far and blurred to near and sharp. */
export function fillHole(image: Image<3>, mask: Image<1>): Image<3> {
  const { width, height } = image;
  const around = createImage(width, height, 4);
  for (const [i, covered] of mask.data.entries()) {
    const kept = 255 - covered;
    for (let c = 0; c < 3; c++) around.data[4 * i + c] = mixed(0, image.data[3 * i + c] as number, kept);
    around.data[4 * i + 3] = mixed(0, 255, kept);
  }
  const filled = new Uint8Array(around.data.length);
  for (const [radius, repeats] of layers) {
    const { data } = unpremultiplied(gaussianBlur(around, radius, radius));
    for (let n = 0; n < repeats; n++) layOver(filled, data);
  }
  const out = createImage(width, height, 3);
  for (let i = 0; i < mask.data.length; i++) out.data.set(filled.subarray(4 * i, 4 * i + 3), 3 * i);
  return out;
}
