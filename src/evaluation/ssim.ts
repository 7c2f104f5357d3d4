/**
 * Structural similarity (Wang et al. 2004) of 8-bit pictures, with K1 = 0.01, K2 = 0.03 and L = 255, mean over channels, in the field's
 * four conventions, which differ in window, edge and divisor and give different numbers for one pair.
 */

import { StableDiffusionError } from '../errors.ts';
import type { Image } from '../image/image.ts';
import { type BorderOptions, cropped } from './psnr.ts';

/**
 * - `ldm`: 11x11 Gaussian of sigma 1.5 where it fits, population variance (`calculate_ssim` of utils_image.py; MATLAB's).
 * - `skimage`: 7x7 mean where it fits, sample variance (skimage.metrics' default).
 * - `skimage-gaussian`: `gaussian_weights=True, use_sample_covariance=False`: the numbers of `ldm`.
 * - `torchmetrics`: the Gaussian over the picture mirrored at its edges, every pixel counted, variances not below 0.
 */
export type SsimConvention = 'ldm' | 'skimage' | 'skimage-gaussian' | 'torchmetrics';

export interface SsimOptions extends BorderOptions {
  /** Default `ldm`. */
  readonly convention?: SsimConvention;
}

interface Window {
  /** Weights along one axis; the window is their outer product. */
  readonly weights: Float64Array;
  readonly edge: 'valid' | 'mirror';
  /** Factor on variances. */
  readonly correction: number;
}

const gaussian = (): Float64Array => {
  const weights = Float64Array.from({ length: 11 }, (_, i) => Math.exp(-((i - 5) ** 2) / (2 * 1.5 ** 2)));
  const sum = weights.reduce((total, value) => total + value, 0);
  return weights.map((value) => value / sum);
};

const windows: { readonly [C in SsimConvention]: () => Window } = {
  ldm: () => ({ weights: gaussian(), edge: 'valid', correction: 1 }),
  skimage: () => ({ weights: new Float64Array(7).fill(1 / 7), edge: 'valid', correction: 49 / 48 }),
  'skimage-gaussian': () => ({ weights: gaussian(), edge: 'valid', correction: 1 }),
  torchmetrics: () => ({ weights: gaussian(), edge: 'mirror', correction: 1 }),
};

/** -1 to 1; 1 for equal pictures. Throws `shape-mismatch` where sizes or channels differ, `invalid-argument` where the window does not fit. */
export function ssim(a: Image, b: Image, options: SsimOptions = {}): number {
  const [p, q] = cropped(a, b, options);
  const window = windows[options.convention ?? 'ldm']();
  const { width, height, channels } = p;
  const size = window.weights.length;
  if (Math.min(width, height) < size) {
    throw new StableDiffusionError(
      'invalid-argument',
      `SSIM looks through a window of ${size}x${size} pixels, and the pictures are ${width}x${height}.`,
    );
  }
  let sum = 0;
  for (let c = 0; c < channels; c++) sum += channelSsim(plane(p, c), plane(q, c), width, height, window);
  return sum / channels;
}

function plane({ data, channels }: Image, channel: number): Float64Array {
  return Float64Array.from({ length: data.length / channels }, (_, i) => data[i * channels + channel] as number);
}

function channelSsim(x: Float64Array, y: Float64Array, width: number, height: number, window: Window): number {
  const c1 = (0.01 * 255) ** 2;
  const c2 = (0.03 * 255) ** 2;
  const smooth = (values: Float64Array): Float64Array =>
    smoothRows(smoothRows(values, width, height, window), height, outLength(width, window), window);
  const product = (u: Float64Array, v: Float64Array): Float64Array => u.map((value, i) => value * (v[i] as number));
  const [meanX, meanY, xx, yy, xy] = [x, y, product(x, x), product(y, y), product(x, y)].map(smooth) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const least = window.edge === 'mirror' ? 0 : Number.NEGATIVE_INFINITY;
  let sum = 0;
  for (let i = 0; i < meanX.length; i++) {
    const u = meanX[i] as number;
    const v = meanY[i] as number;
    const varianceX = Math.max(window.correction * ((xx[i] as number) - u * u), least);
    const varianceY = Math.max(window.correction * ((yy[i] as number) - v * v), least);
    const covariance = window.correction * ((xy[i] as number) - u * v);
    sum += ((2 * u * v + c1) * (2 * covariance + c2)) / ((u * u + v * v + c1) * (varianceX + varianceY + c2));
  }
  return sum / meanX.length;
}

const outLength = (length: number, { weights, edge }: Window): number =>
  edge === 'valid' ? length - weights.length + 1 : length;

/** Weighs along the rows of [height, width], and gives the result transposed, so that doing it twice does both axes. */
function smoothRows(values: Float64Array, width: number, height: number, window: Window): Float64Array {
  const { weights, edge } = window;
  const outWidth = outLength(width, window);
  const shift = edge === 'valid' ? 0 : (weights.length - 1) / 2;
  const out = new Float64Array(outWidth * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < outWidth; x++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) {
        let at = x + k - shift;
        if (at < 0) at = -at;
        else if (at >= width) at = 2 * (width - 1) - at;
        sum += (weights[k] as number) * (values[y * width + at] as number);
      }
      out[x * height + y] = sum;
    }
  }
  return out;
}
