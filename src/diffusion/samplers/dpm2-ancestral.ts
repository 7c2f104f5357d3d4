/**
 * DPM2 ancestral ("DPM2 a"): a DPM-Solver-2 step (Lu et al. 2022, arXiv 2206.00927, algorithm 1) down to sigma_down, then fresh noise up to
 * sigma_next. Two model calls a step, one for a step to 0. After k-diffusion's `sample_dpm_2_ancestral`. Reads eta (default 1), sNoise (1).
 */

import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { ancestralStep } from './ancestral-step.ts';
import { dpm2Step } from './dpm2.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, evaluate, sigmaSteps } from './sigma-steps.ts';

export async function* sampleDpm2Ancestral(
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
    latent = await dpm2Step(denoise, latent, denoised, sigma, down, signal);
    if (down > 0) latent = addNoise(latent, noise, sigma, next, sNoise * up);
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export const dpm2Ancestral = sigmaSampler({
  name: 'dpm2-ancestral',
  title: 'DPM2 a',
  callsPerStep: 2,
  aliases: ['dpm_2_ancestral', 'k_dpm_2_a', 'k_dpm_2_ancestral', 'sample_dpm_2_ancestral'],
  usesStepNoise: true,
  schedule: 'karras',
  discardsNextToLastSigma: true,
  sample: sampleDpm2Ancestral,
});
