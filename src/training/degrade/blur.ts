/** Convolution of pictures with blur kernels: `scipy.ndimage.convolve`, and OpenCV's Gaussian blur for sharpening. */

import { floatImage, type FloatImage } from '../../image/float-image.ts';
import type { Kernel } from './kernel.ts';
import { reflectedIndex } from '../../tensor/reflected-index.ts';

/** Padding: `mirror` about the centre of the edge pixel (d c b | a b c d | c b a), `wrap` from the other side. */
export type Edge = 'mirror' | 'wrap';

const outside: { readonly [E in Edge]: (i: number, length: number) => number } = {
  mirror: reflectedIndex,
  wrap: (i, length) => ((i % length) + length) % length,
};

/** Channel by channel, summed in float64. As in scipy the kernel is turned by 180 degrees, and one of even size has its centre at size / 2 before turning. */
export function convolveKernel(image: FloatImage, kernel: Kernel, edge: Edge): FloatImage {
  const { width, height, channels, data } = image;
  const { size, weights } = kernel;
  const back = size - 1 - Math.floor(size / 2);
  const positions = (length: number): Int32Array =>
    Int32Array.from({ length: length + size - 1 }, (_, i) => outside[edge](i - back, length));
  const [xs, ys] = [positions(width), positions(height)];
  const out = floatImage(width, height, channels);
  const sums = new Float64Array(channels);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      sums.fill(0);
      for (let ky = 0; ky < size; ky++) {
        const line = (ys[y + ky] as number) * width;
        for (let kx = 0; kx < size; kx++) {
          const weight = weights[size * size - 1 - (ky * size + kx)] as number;
          if (weight === 0) continue;
          const from = (line + (xs[x + kx] as number)) * channels;
          for (let c = 0; c < channels; c++) sums[c] = (sums[c] as number) + weight * (data[from + c] as number);
        }
      }
      for (let c = 0; c < channels; c++) out.data[to++] = sums[c] as number;
    }
  }
  return out;
}

/** OpenCV's windows of up to 9 pixels where no sigma is given (`small_gaussian_tab`), in 256ths. */
const smallWindows: Readonly<Record<number, readonly number[]>> = {
  1: [256],
  3: [64, 128, 64],
  5: [16, 64, 96, 64, 16],
  7: [8, 28, 56, 72, 56, 28, 8],
  9: [4, 13, 30, 51, 60, 51, 30, 13, 4],
};

/** `cv2.getGaussianKernel(size, 0)`: sigma follows from the size, odd. */
function gaussianWindow(size: number): Float64Array {
  const small = smallWindows[size];
  if (small) return Float64Array.from(small, (value) => value / 256);
  const half = (size - 1) / 2;
  const sigma = 0.3 * (half - 1) + 0.8;
  const raw = Float64Array.from({ length: size }, (_, i) => Math.exp(-((i - half) ** 2) / (2 * sigma * sigma)));
  const total = raw.reduce((sum, value) => sum + value, 0);
  return raw.map((value) => value / total);
}

/** `cv2.GaussianBlur(image, (radius, radius), 0)`: a window of `radius` pixels, odd; edges mirrored. */
function gaussianBlur(image: FloatImage, radius: number): FloatImage {
  const { width, height, channels, data } = image;
  const half = (radius - 1) / 2;
  const weights = gaussianWindow(radius);
  const pass = (from: Float32Array, length: number, stride: number): Float32Array<ArrayBuffer> => {
    const result = new Float32Array(from.length);
    for (let i = 0; i < from.length; i++) {
      const position = Math.floor(i / stride) % length;
      const base = i - position * stride;
      let sum = 0;
      for (let k = 0; k < radius; k++)
        sum += (weights[k] as number) * (from[base + outside.mirror(position + k - half, length) * stride] as number);
      result[i] = sum;
    }
    return result;
  };
  return floatImage(width, height, channels, pass(pass(data, width, channels), height, width * channels));
}

export interface SharpenOptions {
  /** Share of the detail that is added. Default 0.5. */
  readonly weight?: number;
  /** Width of the blur, pixels; the next odd number is taken. Default 50. */
  readonly radius?: number;
  /** Levels, 0 to 255, from which detail counts as such. Default 10. */
  readonly threshold?: number;
}

/** `add_sharpening`: unsharp masking where the picture differs from its blur by more than a threshold, with a soft edge between. */
export function sharpen(image: FloatImage, options: SharpenOptions = {}): FloatImage {
  const { weight = 0.5, threshold = 10 } = options;
  const radius = (options.radius ?? 50) | 1;
  const blurred = gaussianBlur(image, radius).data;
  const residual = image.data.map((value, i) => value - (blurred[i] as number));
  const mask = { ...image, data: residual.map((value) => (Math.fround(Math.abs(value) * 255) > threshold ? 1 : 0)) };
  const soft = gaussianBlur(mask, radius).data;
  const data = image.data.map((value, i) => {
    const sharp = Math.min(Math.max(value + weight * (residual[i] as number), 0), 1);
    return (soft[i] as number) * sharp + (1 - (soft[i] as number)) * value;
  });
  return { ...image, data };
}
