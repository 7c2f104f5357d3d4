/**
 * Soft inpainting of A1111 (extensions-builtin/soft-inpainting, v1.10.1): the mask's transparency depends on the noise level, mixed latents
 * keep their magnitudes, and afterwards the original is laid over the result where the latents changed little.
 */

import { float32, type Tensor } from '../tensor/tensor.ts';
import type { Latent } from './denoiser.ts';

export interface SoftInpainting {
  /** How the mask's softness falls with the noise level: the exponent of sigma. Default 1. */
  readonly blendPower: number;
  /** Strength of the mask's softness. Default 0.5. */
  readonly blendScale: number;
  /** Exponent with which magnitudes are mixed: larger ones keep more contrast. Default 4. */
  readonly detailPreservation: number;
  /** How much the mask counts in laying the original over the result, 0 to 1. Default 0. */
  readonly maskInfluence: number;
  /** Change of a latent at which the original is half transparent. Default 0.5. */
  readonly differenceThreshold: number;
  /** How sharply the original's opacity falls there. Default 2. */
  readonly differenceContrast: number;
}

export const softInpaintingDefaults: SoftInpainting = {
  blendPower: 1,
  blendScale: 0.5,
  detailPreservation: 4,
  maskInfluence: 0,
  differenceThreshold: 0.5,
  differenceContrast: 2,
};

/** The settings in the order of A1111's script, by its labels. */
export const softInpaintingArguments: readonly (readonly [label: string, field: keyof SoftInpainting])[] = [
  ['schedule bias', 'blendPower'],
  ['preservation strength', 'blendScale'],
  ['transition contrast boost', 'detailPreservation'],
  ['mask influence', 'maskInfluence'],
  ['difference threshold', 'differenceThreshold'],
  ['difference contrast', 'differenceContrast'],
];

const { fround } = Math;

/** The share that is painted, [.., h, w] in 0 … 1, at a noise level: mask^(sigma^power · scale). */
export function softMask(
  mask: Tensor<'float32'>,
  sigma: number,
  { blendPower, blendScale }: SoftInpainting,
): Tensor<'float32'> {
  const exponent = fround(fround(sigma ** blendPower) * blendScale);
  return { ...mask, data: mask.data.map((value) => fround(value ** exponent)) };
}

/**
 * a where `share` is 0 and b where it is 1, [n, c, h, w]; between, the direction is mixed and the length of each pixel's vector is the mean of
 * both lengths of order `detailPreservation`. `share` is [n or 1, c or 1, h, w] or [c, h, w].
 */
export function blendKeepingMagnitude(
  a: Latent,
  b: Latent,
  share: Tensor<'float32'>,
  { detailPreservation }: SoftInpainting,
): Latent {
  const [n = 0, c = 0, h = 0, w = 0] = a.shape;
  const plane = h * w;
  const shape = share.shape.length === 3 ? [1, ...share.shape] : share.shape;
  const [items = 1, channels = 1] = shape;
  const data = new Float32Array(a.data.length);
  for (let item = 0; item < n; item++)
    for (let i = 0; i < plane; i++) {
      const from = (item % items) * channels * plane + i;
      const t = share.data[from] as number;
      let [mixed, lengthA, lengthB] = [0, 0, 0];
      for (let k = 0; k < c; k++) {
        const at = (item * c + k) * plane + i;
        const own = share.data[from + (k % channels) * plane] as number;
        const [x, y] = [a.data[at] as number, b.data[at] as number];
        const value = fround(fround(x * fround(1 - own)) + fround(y * own));
        data[at] = value;
        mixed += value * value;
        lengthA += x * x;
        lengthB += y * y;
      }
      const powered = (square: number): number => fround(Math.sqrt(square)) ** detailPreservation;
      const wanted = (powered(lengthA) * (1 - t) + powered(lengthB) * t) ** (1 / detailPreservation);
      const factor = fround(wanted / (fround(Math.sqrt(mixed)) + 0.00001));
      for (let k = 0; k < c; k++) {
        const at = (item * c + k) * plane + i;
        data[at] = (data[at] as number) * factor;
      }
    }
  return float32(a.shape, data);
}

/** Weights of the 5x5 window of the filters: a Gaussian of 1.5 pixels, less its value one pixel beyond the window, over its middle. */
const windowReach = 2;
const windowWeights = ((): number[][] => {
  const gaussian = (square: number): number => Math.exp(-square / (1.5 * 1.5));
  const beyond = gaussian((windowReach + 1) ** 2);
  const scaled = (square: number): number => Math.max(0, (gaussian(square) - beyond) / (1 - beyond));
  const steps = [-2, -1, 0, 1, 2];
  return steps.map((y) => steps.map((x) => scaled(x * x + y * y)));
})();

interface Weighed {
  readonly value: number;
  readonly weight: number;
}

/** The mean of the values between two shares of the summed weight, in the order of the values; the part is at least 1 wide. */
function meanBetween(values: Weighed[], low: number, high: number): number {
  values.sort((a, b) => a.value - b.value);
  const sum = values.reduce((total, { weight }) => total + weight, 0);
  let [start, end] = [sum * low, sum * high];
  if (end - start < 1) {
    const centre = (start + end) / 2;
    [start, end] = [centre - 0.5, centre + 0.5];
    if (end > sum) [start, end] = [sum - 1, sum];
    if (start < 0) [start, end] = [0, 1];
  }
  let [total, weight, at] = [0, 0, 0];
  for (const one of values) {
    const overlap = Math.min(end, at + one.weight) - Math.max(start, at);
    if (overlap > 0) {
      total += one.value * overlap;
      weight += overlap;
    }
    at += one.weight;
  }
  return weight === 0 ? 0 : total / weight;
}

/** A filter by ranks over a plane [h, w]: of each pixel's neighbourhood the mean between two shares. */
function rankFilter(plane: Float32Array, height: number, width: number, low: number, high: number): Float32Array {
  const out = new Float32Array(plane.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const values: Weighed[] = [];
      for (let dy = -windowReach; dy <= windowReach; dy++)
        for (let dx = -windowReach; dx <= windowReach; dx++) {
          const [row, column] = [y + dy, x + dx];
          if (row < 0 || column < 0 || row >= height || column >= width) continue;
          const weight = windowWeights[dy + windowReach]?.[dx + windowReach] ?? 0;
          values.push({ value: plane[row * width + column] as number, weight });
        }
      out[y * width + x] = meanBetween(values, low, high);
    }
  return out;
}

/** How opaque the result is over the original, for each picture: bytes [n, h, w] at the latents' size. `mask` [c, h, w] as in `softMask`. */
export function changeMasks(
  original: Latent,
  processed: Latent,
  mask: Tensor<'float32'>,
  settings: SoftInpainting,
): Uint8Array[] {
  const { blendScale, maskInfluence, differenceThreshold, differenceContrast } = settings;
  const [n = 0, c = 0, h = 0, w = 0] = original.shape;
  const plane = h * w;
  const half = Float32Array.from({ length: plane }, (_, i) => {
    const covered = 1 - fround(Math.min(1, Math.max(0, mask.data[i] as number)) ** (blendScale / 2));
    const share = fround(fround(0.5 * (1 - maskInfluence)) + fround(covered * maskInfluence));
    return fround(differenceThreshold * fround(share / fround(1.00001 - share)));
  });
  return Array.from({ length: n }, (_, item) => {
    const distance = Float32Array.from({ length: plane }, (__, i) => {
      let sum = 0;
      for (let k = 0; k < c; k++) {
        const at = (item * c + k) * plane + i;
        sum += fround((processed.data[at] as number) - (original.data[at] as number)) ** 2;
      }
      return Math.sqrt(sum);
    });
    const spread = rankFilter(rankFilter(distance, h, w, 0.9, 1), h, w, 0.25, 0.75);
    return Uint8Array.from(spread, (value, i) => {
      const relative = fround(value / (half[i] as number));
      const opacity = fround(1 / fround(1 + fround(relative ** differenceContrast)));
      const smooth = fround(opacity * opacity * opacity * (opacity * (6 * opacity - 15) + 10));
      return Math.trunc(fround(255 * fround(1 - smooth)));
    });
  });
}
