/** Luma and chroma of pictures [b, h, w, c] (YCbCr, ITU-R BT.601), with kornia's rounded factors. */

import { float32 } from '../tensor/tensor.ts';
import { clamped, type Float32 } from './grids.ts';

/** Y, Cb and Cr, each [b, h, w, 1]; chroma is 0.5 for grey. */
export function lumaChroma(image: Float32): readonly [Float32, Float32, Float32] {
  const [batch = 1, height = 1, width = 1, channels = 3] = image.shape;
  const count = batch * height * width;
  const planes = [0, 1, 2].map(() => new Float32Array(count)) as [Float32Array, Float32Array, Float32Array];
  for (let i = 0; i < count; i++) {
    const [r, g, b] = image.data.subarray(i * channels, i * channels + 3) as unknown as [number, number, number];
    const y = 0.299 * r + 0.587 * g + 0.114 * b;
    planes[0][i] = y;
    planes[1][i] = (b - y) * 0.564 + 0.5;
    planes[2][i] = (r - y) * 0.713 + 0.5;
  }
  return planes.map((data) => float32([batch, height, width, 1], data)) as unknown as [Float32, Float32, Float32];
}

/** One channel [b, h, w, 1] as several equal ones. */
export function spread(plane: Float32, channels: number): Float32 {
  const data = new Float32Array(plane.data.length * channels);
  for (const [i, value] of plane.data.entries()) data.fill(value, i * channels, (i + 1) * channels);
  return { ...plane, shape: [...plane.shape.slice(0, 3), channels], data };
}

/** The mean of the channels, [b, h, w, 1]. */
export function channelMean(image: Float32): Float32 {
  const channels = image.shape[3] ?? 1;
  const data = Float32Array.from({ length: image.data.length / channels }, (_, i) => {
    const own = image.data.subarray(i * channels, (i + 1) * channels);
    return own.reduce((sum, value) => sum + value, 0) / channels;
  });
  return { ...image, shape: [...image.shape.slice(0, 3), 1], data };
}

/** The picture of three planes [b, h, w, 1] of one size, in 0…1. */
export function fromLumaChroma(y: Float32, cb: Float32, cr: Float32): Float32 {
  const data = new Float32Array(y.data.length * 3);
  for (const [i, luma] of y.data.entries()) {
    const [blue, red] = [(cb.data[i] as number) - 0.5, (cr.data[i] as number) - 0.5];
    data[3 * i] = clamped(luma + 1.403 * red);
    data[3 * i + 1] = clamped(luma - 0.714 * red - 0.344 * blue);
    data[3 * i + 2] = clamped(luma + 1.773 * blue);
  }
  return { ...y, shape: [...y.shape.slice(0, 3), 3], data };
}
