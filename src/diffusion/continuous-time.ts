/**
 * Diffusion in continuous time, t from 0 (the picture) to 1 (noise), by the logarithm of the signal-to-noise ratio: Kingma et al. 2021,
 * "Variational Diffusion Models" (arXiv 2107.00630). As Imagen's implementation and denoising-diffusion-pytorch have it (both lucidrains).
 */

import type { Tensor } from '../tensor/tensor.ts';
import { mapPixels, type Pixels } from './gaussian/gaussian-process.ts';

/** log(alpha² / sigma²) at t. */
export type LogSnr = (t: number) => number;

export const linearLogSnr: LogSnr = (t) => -Math.log(Math.expm1(1e-4 + 10 * t * t));

/** Nichol and Dhariwal's cosine. In float32 where the original is: its end, where the cosine is 0, is a rounding of that. */
export const cosineLogSnr: LogSnr = (t) => {
  const angle = Math.fround(Math.fround(Math.fround((t + 0.008) / 1.008) * Math.fround(Math.PI)) * 0.5);
  return -Math.log(Math.max(Math.cos(angle) ** -2 - 1, 1e-5));
};

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** alpha and sigma of a log-SNR; alpha² + sigma² = 1. */
export const levelsOf = (logSnr: number): { readonly alpha: number; readonly sigma: number } => ({
  alpha: Math.sqrt(sigmoid(logSnr)),
  sigma: Math.sqrt(sigmoid(-logSnr)),
});

/** A log-SNR for each picture of the batch. */
export type LogSnrs = readonly number[];

const levelAt = (logSnrs: LogSnrs, item: number) => levelsOf(logSnrs[item] as number);

/** x_t of x_0 and noise. */
export const noisedTo = (x0: Pixels, noise: Pixels, at: LogSnrs): Pixels =>
  mapPixels(x0, (i, item) => {
    const { alpha, sigma } = levelAt(at, item);
    return alpha * (x0.data[i] as number) + sigma * (noise.data[i] as number);
  });

/** x at a noisier time from x at another. */
export const noisedFromTo = (x: Pixels, noise: Pixels, from: LogSnrs, to: LogSnrs): Pixels =>
  mapPixels(x, (i, item) => {
    const [a, b] = [levelAt(from, item), levelAt(to, item)];
    return (
      (x.data[i] as number) * (b.alpha / a.alpha) +
      ((noise.data[i] as number) * (b.sigma * a.alpha - a.sigma * b.alpha)) / a.alpha
    );
  });

export type ContinuousObjective = 'noise' | 'x_start' | 'v';

/** The clean picture that an output means. */
export function continuousX0(objective: ContinuousObjective, x: Pixels, output: Pixels, at: LogSnrs): Pixels {
  if (objective === 'x_start') return output;
  return mapPixels(x, (i, item) => {
    const { alpha, sigma } = levelAt(at, item);
    const [value, said] = [x.data[i] as number, output.data[i] as number];
    return objective === 'v' ? alpha * value - sigma * said : (value - sigma * said) / Math.max(alpha, 1e-8);
  });
}

/** The posterior of x at the next, less noisy time; its variance is one number for each picture. */
export function continuousPosterior(
  x0: Pixels,
  x: Pixels,
  from: LogSnrs,
  to: LogSnrs,
): { readonly mean: Pixels; readonly variance: Tensor<'float32'>; readonly logVariance: Tensor<'float32'> } {
  const shares = from.map((logSnr, i) => -Math.expm1(logSnr - (to[i] as number)));
  const variances = shares.map((share, i) => levelsOf(to[i] as number).sigma ** 2 * share);
  const perPicture = (values: readonly number[]): Tensor<'float32'> => ({
    dtype: 'float32',
    shape: [values.length, 1, 1, 1],
    data: Float32Array.from(values),
  });
  return {
    mean: mapPixels(x, (i, item) => {
      const share = shares[item] as number;
      const { alpha } = levelAt(from, item);
      return levelAt(to, item).alpha * (((x.data[i] as number) * (1 - share)) / alpha + share * (x0.data[i] as number));
    }),
    variance: perPicture(variances),
    logVariance: perPicture(variances.map((variance) => Math.log(Math.max(variance, 1e-20)))),
  };
}

/** Pairs of times of a run of so many steps, from 1 to 0. */
export const continuousTimes = (steps: number): (readonly [from: number, to: number])[] =>
  Array.from({ length: steps }, (_, i) => [1 - i / steps, 1 - (i + 1) / steps] as const);
