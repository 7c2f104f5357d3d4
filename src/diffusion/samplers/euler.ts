/**
 * Euler: Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models" (arXiv 2206.00364), algorithm 2 with
 * Euler steps: x += (sigma_next - sigma_hat) dx/dsigma. One model call a step. After k-diffusion's `sample_euler`.
 * Reads sChurn, sTmin, sTmax, sNoise, drawsOnlyUsed.
 */

import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { type ChurnOptions, churn } from './churn.ts';
import { sigmaSampler } from './sigma-sampler.ts';
import { eulerStep, evaluate, sigmaSteps } from './sigma-steps.ts';

export async function* sampleEuler(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: ChurnOptions = {},
): Sampling {
  let latent = x;
  for (const step of sigmaSteps(sigmas)) {
    const raised = churn(latent, step, options);
    const denoised = await evaluate(denoise, raised.x, raised.sigma, options.signal);
    latent = eulerStep(raised.x, denoised, raised.sigma, step.next);
    yield { step: step.step, steps: step.steps, sigma: step.sigma, latent, denoised };
  }
  return latent;
}

export const euler = sigmaSampler({
  name: 'euler',
  title: 'Euler',
  aliases: ['k_euler', 'sample_euler'],
  usesStepNoise: false,
  sample: sampleEuler,
});
