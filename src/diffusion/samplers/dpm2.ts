/**
 * DPM2: DPM-Solver-2 of Lu et al. 2022 (arXiv 2206.00927, algorithm 1) within algorithm 2 of Karras et al. 2022: the slope at the
 * geometric mean of the step's two levels. Two model calls a step, one for a step to 0. After k-diffusion's `sample_dpm_2`.
 * Reads sChurn, sTmin, sTmax, sNoise, drawsOnlyUsed.
 */

import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { type ChurnOptions, churn } from './churn.ts';
import { sigmaSampler } from './sigma-sampler.ts';
import { alongSlope, derivative, eulerStep, evaluate, sigmaSteps } from './sigma-steps.ts';

/** One step of DPM-Solver-2, or of Euler's where it ends at 0. `first` is the model's answer at `sigma`. */
export async function dpm2Step(
  denoise: Denoiser,
  x: Latent,
  first: Latent,
  sigma: number,
  next: number,
  signal: AbortSignal | undefined,
): Promise<Latent> {
  if (next === 0) return eulerStep(x, first, sigma, next);
  const middle = Math.sqrt(sigma * next);
  const between = eulerStep(x, first, sigma, middle);
  const second = await evaluate(denoise, between, middle, signal);
  return alongSlope(x, derivative(between, middle, second), sigma, next);
}

export async function* sampleDpm2(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: ChurnOptions = {},
): Sampling {
  let latent = x;
  for (const step of sigmaSteps(sigmas)) {
    const raised = churn(latent, step, options);
    const denoised = await evaluate(denoise, raised.x, raised.sigma, options.signal);
    latent = await dpm2Step(denoise, raised.x, denoised, raised.sigma, step.next, options.signal);
    yield { step: step.step, steps: step.steps, sigma: step.sigma, latent, denoised };
  }
  return latent;
}

export const dpm2 = sigmaSampler({
  name: 'dpm2',
  title: 'DPM2',
  callsPerStep: 2,
  aliases: ['dpm_2', 'k_dpm_2', 'sample_dpm_2'],
  usesStepNoise: false,
  schedule: 'karras',
  discardsNextToLastSigma: true,
  sample: sampleDpm2,
});
