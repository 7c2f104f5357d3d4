/**
 * Heun: Karras et al. 2022 (arXiv 2206.00364), algorithm 2: an Euler step, and then the same step again with the mean of the slopes at its
 * two ends. Two model calls a step, one for a step to 0. After k-diffusion's `sample_heun`.
 * Reads sChurn, sTmin, sTmax, sNoise, drawsOnlyUsed.
 */

import { linearCombination } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { type ChurnOptions, churn } from './churn.ts';
import { sigmaSampler } from './sigma-sampler.ts';
import { alongSlope, derivative, eulerStep, evaluate, sigmaSteps } from './sigma-steps.ts';

/** One step of Heun's method, or of Euler's where it ends at 0; also Restart's. `first` is the model's answer at `sigma`. */
export async function heunStep(
  denoise: Denoiser,
  x: Latent,
  first: Latent,
  sigma: number,
  next: number,
  signal: AbortSignal | undefined,
): Promise<Latent> {
  const predicted = eulerStep(x, first, sigma, next);
  if (next === 0) return predicted;
  const second = await evaluate(denoise, predicted, next, signal);
  const slope = linearCombination([0.5, derivative(x, sigma, first)], [0.5, derivative(predicted, next, second)]);
  return alongSlope(x, slope, sigma, next);
}

export async function* sampleHeun(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: ChurnOptions = {},
): Sampling {
  let latent = x;
  for (const step of sigmaSteps(sigmas)) {
    const raised = churn(latent, step, options);
    const denoised = await evaluate(denoise, raised.x, raised.sigma, options.signal);
    latent = await heunStep(denoise, raised.x, denoised, raised.sigma, step.next, options.signal);
    yield { step: step.step, steps: step.steps, sigma: step.sigma, latent, denoised };
  }
  return latent;
}

export const heun = sigmaSampler({
  name: 'heun',
  title: 'Heun',
  callsPerStep: 2,
  aliases: ['k_heun', 'sample_heun'],
  usesStepNoise: false,
  sample: sampleHeun,
});
