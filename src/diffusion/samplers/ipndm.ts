/**
 * iPNDM: Adams-Bashforth steps of up to fourth order on the slopes of Karras et al. 2022 (Zhang and Chen 2022, arXiv 2204.13902, and
 * zju-pi/diff-sampler), with the coefficients of even steps, or of the actual ones (`ipndm-v`). One model call a step. After ComfyUI's
 * `sample_ipndm` and `sample_ipndm_v`. Reads order (default 4).
 */

import { StableDiffusionError } from '../../errors.ts';
import { linearCombination } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { derivative, evaluate, sigmaSteps } from './sigma-steps.ts';

type IpndmOptions = Partial<Pick<SigmaSamplerOptions, 'order' | 'signal'>>;

/** Of the slopes, the newest first, by how many there are. */
const even: readonly (readonly number[])[] = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
];

/** As the original has them, for the steps h (this one first, then those before it). */
function uneven(h: readonly number[]): readonly number[] {
  const [h0 = 1, h1 = 1, h2 = 1, h3 = 1] = h;
  const ratio = h0 / h1;
  if (h.length === 1) return [1];
  if (h.length === 2) return [(2 + ratio) / 2, -ratio / 2];
  const half = 1 - ((h0 / (3 * (h0 + h1))) * (h0 * (h0 + h1))) / (h1 * (h1 + h2));
  const a = half / 2;
  if (h.length === 3) return [(2 + ratio) / 2 + a, -ratio / 2 - (1 + h1 / h2) * a, (a * h1) / h2];
  const b =
    (((1 - h0 / (3 * (h0 + h1))) / 2 + ((1 - h0 / (2 * (h0 + h1))) * h0) / (6 * (h0 + h1 + h2))) *
      (h0 * (h0 + h1) * (h0 + h1 + h2))) /
    (h1 * (h1 + h2) * (h1 + h2 + h3));
  const q = h1 / h2;
  const w = (h1 * (h1 + h2)) / (h2 * (h2 + h3));
  return [
    (2 + ratio) / 2 + a + b,
    -ratio / 2 - (1 + q) * a - (1 + q + w) * b,
    a * q + (q + w * (1 + h2 / h3)) * b,
    -b * w * q,
  ];
}

function sampleWith(coefficients: (h: readonly number[]) => readonly number[]) {
  return async function* (
    denoise: Denoiser,
    x: Latent,
    sigmas: ArrayLike<number>,
    { order = 4, signal }: IpndmOptions = {},
  ): Sampling {
    if (!Number.isInteger(order) || order < 1 || order > 4)
      throw new StableDiffusionError('invalid-argument', `The order of iPNDM must be 1 to 4, got ${order}.`);
    let latent = x;
    const slopes: Latent[] = []; // the newest first
    for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
      const denoised = await evaluate(denoise, latent, sigma, signal);
      slopes.unshift(derivative(latent, sigma, denoised));
      slopes.length = Math.min(slopes.length, order);
      if (next === 0) latent = denoised;
      else {
        const lengths = slopes.map((_, k) => (sigmas[step - k] as number) - (sigmas[step - 1 - k] as number));
        const weights = coefficients(lengths);
        const terms = slopes.map((slope, k) => [(next - sigma) * (weights[k] as number), slope] as const);
        latent = linearCombination([1, latent], ...terms);
      }
      yield { step, steps, sigma, latent, denoised };
    }
    return latent;
  };
}

export const sampleIpndm = sampleWith((h) => even[h.length - 1] as readonly number[]);
export const sampleIpndmV = sampleWith(uneven);

export const ipndm = sigmaSampler({
  name: 'ipndm',
  title: 'iPNDM',
  aliases: ['sample_ipndm'],
  usesStepNoise: false,
  sample: sampleIpndm,
});

export const ipndmV = sigmaSampler({
  name: 'ipndm-v',
  title: 'iPNDM V',
  aliases: ['ipndm_v', 'sample_ipndm_v'],
  usesStepNoise: false,
  sample: sampleIpndmV,
});
