/** Gaussian blur as OpenCV 4.11's `cv2.GaussianBlur` with windows by sigma (modules/imgproc/src/smooth.dispatch.cpp), edges mirrored. */

import { floatImage, type FloatImage } from '../float-image.ts';
import { type Channels, createImage, type Image } from '../image.ts';
import { roundHalfToEven } from './resize-bytes.ts';
import { reflectedIndex } from '../../tensor/reflected-index.ts';

/** A window of odd `size` pixels along one axis. */
export interface BlurWindow {
  readonly size: number;
  /** Standard deviation in pixels. */
  readonly sigma: number;
}

/** A larger one would cost time without bound. */
const largestSigma = 1000;

/** OpenCV's size for a sigma: three deviations to each side for bytes, four for floats. */
function windowFor(sigma: number, deviations: 3 | 4): BlurWindow {
  const bounded = Math.min(sigma, largestSigma);
  return { size: roundHalfToEven(bounded * deviations * 2 + 1) | 1, sigma: bounded };
}

/** Weights with the sum 1, in float64 (`getGaussianKernel`). */
export function weightsOf({ size, sigma }: BlurWindow): number[] {
  const sides = Array.from({ length: (size - 1) / 2 }, (_, i) =>
    Math.exp((2 * i + 1 - size) ** 2 * (-0.125 / (sigma * sigma))),
  );
  const inverse = 1 / (2 * sides.reduce((sum, weight) => sum + weight, 0) + 1);
  const scaled = sides.map((weight) => weight * inverse);
  return [...scaled, inverse, ...scaled.toReversed()];
}

/** The same in 256ths, the rounding error handed on from the outside to the middle (`getGaussianKernelFixedPoint_ED`). */
function fixedWeightsOf(window: BlurWindow): number[] {
  const exact = weightsOf(window);
  let error = 0;
  const sides = exact.slice(0, (window.size - 1) / 2).map((weight) => {
    const wanted = weight * 256 + error;
    const rounded = roundHalfToEven(wanted);
    error = wanted - rounded;
    return rounded;
  });
  return [...sides, 256 - 2 * sides.reduce((sum, weight) => sum + weight, 0), ...sides.toReversed()];
}

/** Positions -reach … length - 1 + reach, mirrored about the centres of the edge pixels (BORDER_REFLECT_101). */
export function mirroredPositions(length: number, reach: number): Int32Array {
  return Int32Array.from({ length: length + 2 * reach }, (_, i) => reflectedIndex(i - reach, length));
}

type Samples = Uint8Array | Float32Array | Float64Array;

/** Weighted sums along the middle axis of [outer, length, inner], into `out`. */
function sumsAlong(
  data: Samples,
  out: Float32Array | Float64Array,
  length: number,
  inner: number,
  weights: readonly number[],
): void {
  const positions = mirroredPositions(length, (weights.length - 1) / 2);
  const sums = new Float64Array(inner);
  for (let start = 0; start < data.length; start += length * inner)
    for (let i = 0; i < length; i++) {
      sums.fill(0);
      for (const [k, weight] of weights.entries()) {
        const from = start + (positions[i + k] as number) * inner;
        for (let j = 0; j < inner; j++) sums[j] = (sums[j] as number) + weight * (data[from + j] as number);
      }
      out.set(sums, start + i * inner);
    }
}

const none: BlurWindow = { size: 1, sigma: 1 };

/** 8-bit pictures in fixed point, with one window for each axis; `{ size: 1 }` leaves an axis as it is. */
export function blurBytesBy<C extends Channels>(image: Image<C>, x: BlurWindow = none, y: BlurWindow = none): Image<C> {
  const { width, height, channels, data } = image;
  const across = new Float64Array(data.length);
  const down = new Float64Array(data.length);
  sumsAlong(data, across, width, channels, fixedWeightsOf(x));
  sumsAlong(across, down, height, width * channels, fixedWeightsOf(y));
  return createImage(
    width,
    height,
    channels,
    Uint8Array.from(down, (sum) => Math.floor((sum + 2 ** 15) / 2 ** 16)),
  );
}

/** `cv2.GaussianBlur(image, (0, 0), sigma)` of 8-bit pictures. */
export function blurBytes<C extends Channels>(image: Image<C>, sigma: number): Image<C> {
  const window = windowFor(sigma, 3);
  return blurBytesBy(image, window, window);
}

/** The same of float32 pictures. */
export const blurFloats = (image: FloatImage, sigma: number): FloatImage => blurFloatsBy(image, windowFor(sigma, 4));

/** `cv2.GaussianBlur(image, (size, size), 0)` of float32 pictures from windows of 9 pixels on: the deviation follows from the size. */
export const blurFloatsOfSize = (image: FloatImage, size: number): FloatImage =>
  blurFloatsBy(image, { size, sigma: 0.3 * ((size - 1) * 0.5 - 1) + 0.8 });

function blurFloatsBy(image: FloatImage, window: BlurWindow): FloatImage {
  const { width, height, channels, data } = image;
  const weights = weightsOf(window).map(Math.fround);
  const across = new Float32Array(data.length);
  const down = new Float32Array(data.length);
  sumsAlong(data, across, width, channels, weights);
  sumsAlong(across, down, height, width * channels, weights);
  return floatImage(width, height, channels, down);
}
