/**
 * Euler ancestral ("Euler a"): an Euler step down to sigma_down < sigma_next, then fresh noise up to sigma_next. One model call a step.
 * The ancestral sampling of Ho et al. 2020 (arXiv 2006.11239) and Song et al. 2021 (DDIM's eta, arXiv 2010.02502) in the terms of
 * Karras et al. 2022. After k-diffusion's `sample_euler_ancestral`. Reads eta (default 1), sNoise (1).
 */

import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { ancestralStep } from './ancestral-step.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, eulerStep, evaluate, sigmaSteps } from './sigma-steps.ts';

export async function* sampleEulerAncestral(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: SigmaSamplerOptions,
): Sampling {
  const { noise, eta = 1, sNoise = 1, signal } = options;
  let latent = x;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const denoised = await evaluate(denoise, latent, sigma, signal);
    const { down, up } = ancestralStep(sigma, next, eta);
    latent = addNoise(eulerStep(latent, denoised, sigma, down), noise, sigma, next, sNoise * up);
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export const eulerAncestral = sigmaSampler({
  name: 'euler-ancestral',
  title: 'Euler a',
  aliases: ['euler_ancestral', 'k_euler_a', 'k_euler_ancestral', 'sample_euler_ancestral'],
  usesStepNoise: true,
  sample: sampleEulerAncestral,
});
