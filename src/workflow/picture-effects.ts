/** Effects on pictures [b, h, w, c] in 0…1: blends by mode, Gaussian blur and sharpening, borders for outpainting. */

import { StableDiffusionError } from '../errors.ts';
import { reflectedIndex } from '../tensor/reflected-index.ts';
import { clamped, type Float32, mapped, zipped } from './grids.ts';

const soft = (x: number): number => (x <= 0.25 ? ((16 * x - 12) * x + 4) * x : Math.sqrt(x));

const modes: Readonly<Record<string, (a: number, b: number) => number>> = {
  normal: (_, b) => b,
  multiply: (a, b) => a * b,
  screen: (a, b) => 1 - (1 - a) * (1 - b),
  overlay: (a, b) => (a <= 0.5 ? 2 * a * b : 1 - 2 * (1 - a) * (1 - b)),
  soft_light: (a, b) => (b <= 0.5 ? a - (1 - 2 * b) * a * (1 - a) : a + (2 * b - 1) * (soft(a) - a)),
  difference: (a, b) => a - b,
};

/** a · (1 - share) + mode(a, b) · share, clamped. */
export function blended(a: Float32, b: Float32, mode: string, share: number): Float32 {
  const join = modes[mode] ?? ((_: number, other: number) => other);
  const [own, other] = [Math.fround(1 - share), Math.fround(share)];
  const f = Math.fround;
  return zipped(a, b, (x, y) => clamped(f(f(x * own) + f(f(join(x, y)) * other))));
}

/** A Gaussian over -1 … 1 along both axes, of sum 1. */
function gaussianKernel(size: number, sigma: number): Float64Array {
  const at = (i: number): number => (size === 1 ? -1 : -1 + (2 * i) / (size - 1));
  const kernel = Float64Array.from({ length: size * size }, (_, i) => {
    const [x, y] = [at(i % size), at(Math.floor(i / size))];
    return Math.exp(-(x * x + y * y) / (2 * sigma * sigma));
  });
  const sum = kernel.reduce((total, value) => total + value, 0);
  return kernel.map((value) => value / sum);
}

/** The convolution with a kernel, the border mirrored without its edge, as PyTorch's `reflect`. Throws `invalid-argument` for smaller pictures. */
export function convolved(image: Float32, kernel: Float64Array, radius: number): Float32 {
  const [, height = 1, width = 1, channels = 1] = image.shape;
  if (radius >= Math.min(height, width))
    throw new StableDiffusionError(
      'invalid-argument',
      `A radius of ${radius} needs a picture of at least ${radius + 1} x ${radius + 1} pixels, and this one has ${width} x ${height}.`,
    );
  const size = 2 * radius + 1;
  return mapped(image, (_, i) => {
    const c = i % channels;
    const x = Math.floor(i / channels) % width;
    const row = Math.floor(i / (channels * width));
    const [y, start] = [row % height, Math.floor(row / height) * height];
    let sum = 0;
    for (let dy = 0; dy < size; dy++)
      for (let dx = 0; dx < size; dx++) {
        const [fy, fx] = [reflectedIndex(y + dy - radius, height), reflectedIndex(x + dx - radius, width)];
        sum += (image.data[((start + fy) * width + fx) * channels + c] as number) * (kernel[dy * size + dx] as number);
      }
    return sum;
  });
}

export function blurred(image: Float32, radius: number, sigma: number): Float32 {
  return convolved(image, gaussianKernel(2 * radius + 1, sigma), radius);
}

/** What a sharpened picture is convolved with: of sum 1. */
export function sharpeningKernel(radius: number, sigma: number, alpha: number): Float64Array {
  const size = 2 * radius + 1;
  const kernel = gaussianKernel(size, sigma).map((value) => value * -(alpha * 10));
  const sum = kernel.reduce((total, value) => total + value, 0);
  const centre = radius * size + radius;
  kernel[centre] = (kernel[centre] as number) - sum + 1;
  return kernel;
}

export function sharpened(image: Float32, radius: number, sigma: number, alpha: number): Float32 {
  return mapped(convolved(image, sharpeningKernel(radius, sigma, alpha), radius), clamped);
}

export interface Borders {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly feathering: number;
}

/** A picture with grey borders, and the mask of what is to be made. */
export function padded(image: Float32, { left, top, right, bottom, feathering }: Borders): readonly [Float32, Float32] {
  const [batch = 1, h = 1, w = 1, channels = 3] = image.shape;
  const [H, W] = [h + top + bottom, w + left + right];
  const data = new Float32Array(batch * H * W * channels).fill(0.5);
  for (let b = 0; b < batch; b++)
    for (let y = 0; y < h; y++)
      data.set(
        image.data.subarray((b * h + y) * w * channels, (b * h + y + 1) * w * channels),
        ((b * H + top + y) * W + left) * channels,
      );
  const mask = new Float32Array(H * W).fill(1);
  const fades = feathering > 0 && feathering * 2 < h && feathering * 2 < w;
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const distance = Math.min(top ? y : h, bottom ? h - y : h, left ? x : w, right ? w - x : w);
      mask[(top + y) * W + left + x] = fades && distance < feathering ? ((feathering - distance) / feathering) ** 2 : 0;
    }
  return [
    { dtype: 'float32', shape: [batch, H, W, channels], data },
    { dtype: 'float32', shape: [1, H, W], data: mask },
  ];
}
