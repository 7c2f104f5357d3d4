/** The loop that all samplers in sigma space share: pairs of noise levels, the call of the model, and noise added with a weight. */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import type { IntervalNoise } from '../../random/noise-source.ts';
import { addScaled, roundedSum, subtract } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';

export interface SigmaStep {
  /** 1 for the first step, `steps` for the last. */
  readonly step: number;
  readonly steps: number;
  /** Noise level before the step, above 0, and after it. */
  readonly sigma: number;
  readonly next: number;
}

/** The steps between `sigmas`. Throws `invalid-argument` where one is negative or not finite, or 0 before the last. */
export function sigmaSteps(sigmas: ArrayLike<number>): readonly SigmaStep[] {
  const steps = Math.max(sigmas.length - 1, 0);
  for (let i = 0; i <= steps && i < sigmas.length; i++) {
    const sigma = sigmas[i] as number;
    if (!(Number.isFinite(sigma) && (sigma > 0 || (sigma === 0 && i === steps)))) {
      throw new StableDiffusionError(
        'invalid-argument',
        `Noise level ${i} of ${steps} is ${sigma}; levels must be above 0, and only the last may be 0.`,
      );
    }
  }
  return Array.from({ length: steps }, (_, i) => ({
    step: i + 1,
    steps,
    sigma: sigmas[i] as number,
    next: sigmas[i + 1] as number,
  }));
}

/** The highest level, and the lowest above 0. */
export function sigmaRange(sigmas: ArrayLike<number>): { readonly max: number; readonly min: number } {
  const last = sigmas.length - 1;
  return {
    max: sigmas[0] as number,
    min: sigmas[(sigmas[last] as number) > 0 ? last : Math.max(last - 1, 0)] as number,
  };
}

/** One evaluation of the model, if the work was not cancelled. */
export async function evaluate(
  denoise: Denoiser,
  x: Latent,
  sigma: number,
  signal: AbortSignal | undefined,
): Promise<Latent> {
  throwIfAborted(signal);
  return denoise(x, sigma, signal);
}

/** dx/dsigma of the probability flow ODE: (x - denoised) / sigma (Karras et al. 2022, equation 3). */
export function derivative(x: Latent, sigma: number, denoised: Latent): Latent {
  const difference = subtract(x, denoised);
  for (let i = 0; i < difference.data.length; i++) difference.data[i] = (difference.data[i] as number) / sigma;
  return difference;
}

/** x moved from level `sigma` to `next` along a slope. Rounded as k-diffusion's: a guided model makes large differences of small ones. */
export function alongSlope(x: Latent, slope: Latent, sigma: number, next: number): Latent {
  return roundedSum(1, x, next - sigma, slope);
}

/** An Euler step of that ODE. */
export function eulerStep(x: Latent, denoised: Latent, sigma: number, next: number): Latent {
  return alongSlope(x, derivative(x, sigma, denoised), sigma, next);
}

/**
 * The exponential integrator's step with a constant denoised latent, in h = log(sigma / next): exp(-h) x + (1 - exp(-h)) denoised. It is
 * Euler's step, written as the DPM-Solver++ papers have it; a step to 0 gives the denoised latent.
 */
export function exponentialStep(x: Latent, denoised: Latent, sigma: number, next: number): Latent {
  return roundedSum(next / sigma, x, 1 - next / sigma, denoised);
}

/**
 * x + deviation · noise(sigma, next). Nothing is drawn for a deviation of 0: k-diffusion does draw then, and as a sampler's deviations
 * are all 0 or none is, no result depends on it.
 */
export function addNoise(
  x: Latent,
  noise: IntervalNoise | undefined,
  sigma: number,
  next: number,
  deviation: number,
): Latent {
  if (deviation === 0) return x;
  if (!noise)
    throw new StableDiffusionError(
      'invalid-argument',
      'With these settings the sampler adds noise, and no source of noise was given (`noise`).',
    );
  return addScaled(x, deviation, noise(sigma, next));
}
