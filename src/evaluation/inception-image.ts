/**
 * The input of Inception for a picture: `F.interpolate(mode="bilinear", align_corners=False)` of pytorch-fid, without a filter against aliasing,
 * in single precision, from [0, 1] to [-1, 1].
 */

import { type Image, toRgb } from '../image/image.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';

interface Tap {
  readonly low: number;
  readonly high: number;
  /** Weight of the higher one. */
  readonly share: number;
}

/** The two input pixels of each output pixel, and their weights. */
function taps(from: number, to: number): readonly Tap[] {
  const scale = Math.fround(from / to);
  return Array.from({ length: to }, (_, i) => {
    const position = Math.max(0, Math.fround(Math.fround(scale * (i + 0.5)) - 0.5));
    const low = Math.min(Math.floor(position), from - 1);
    return { low, high: Math.min(low + 1, from - 1), share: position - low };
  });
}

/** float32 [n, 3, side, side] in [-1, 1] of pictures of any sizes. Alpha is dropped. */
export function inceptionTensor(images: readonly Image[], side: number): Tensor<'float32'> {
  const out = new Float32Array(images.length * 3 * side * side);
  let to = 0;
  for (const image of images) {
    const { width, height, data } = toRgb(image);
    const [rows, columns] = [taps(height, side), taps(width, side)];
    for (let channel = 0; channel < 3; channel++) {
      const pixel = (y: number, x: number): number => (data[(y * width + x) * 3 + channel] as number) / 255;
      for (const y of rows) {
        for (const x of columns) {
          const above = pixel(y.low, x.low) * (1 - x.share) + pixel(y.low, x.high) * x.share;
          const below = pixel(y.high, x.low) * (1 - x.share) + pixel(y.high, x.high) * x.share;
          out[to++] = 2 * (above * (1 - y.share) + below * y.share) - 1;
        }
      }
    }
  }
  return tensor('float32', [images.length, 3, side, side], out);
}
