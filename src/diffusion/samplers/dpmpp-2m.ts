/**
 * DPM++ 2M: DPM-Solver++(2M), Lu et al. 2022, "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models" (arXiv
 * 2211.01095), algorithm 2: an exponential integrator on the denoised latent with the last step's as second order. One model call a step.
 * After k-diffusion's `sample_dpmpp_2m`. Reads nothing.
 */

import { linearCombination } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { evaluate, exponentialStep, sigmaSteps } from './sigma-steps.ts';

export async function* sampleDpmpp2m(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: Partial<Pick<SigmaSamplerOptions, 'signal'>> = {},
): Sampling {
  let latent = x;
  let last: { readonly denoised: Latent; readonly h: number } | undefined;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const denoised = await evaluate(denoise, latent, sigma, options.signal);
    const h = Math.log(sigma / next); // infinite for a step to 0
    if (!last || next === 0) latent = exponentialStep(latent, denoised, sigma, next);
    else {
      const weight = h / (2 * last.h); // 1 / 2r
      const extrapolated = linearCombination([1 + weight, denoised], [-weight, last.denoised]);
      latent = exponentialStep(latent, extrapolated, sigma, next);
    }
    last = { denoised, h };
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export const dpmpp2m = sigmaSampler({
  name: 'dpmpp-2m',
  title: 'DPM++ 2M',
  aliases: ['dpmpp_2m', 'k_dpmpp_2m', 'sample_dpmpp_2m'],
  usesStepNoise: false,
  schedule: 'karras',
  sample: sampleDpmpp2m,
});
