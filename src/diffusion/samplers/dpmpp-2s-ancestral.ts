/**
 * DPM++ 2S ancestral ("DPM++ 2S a"): a step of DPM-Solver++(2S), Lu et al. 2022 (arXiv 2211.01095), algorithm 1 with r = 1/2, down to
 * sigma_down, then fresh noise up to sigma_next. Two model calls a step, one for a step to 0. After k-diffusion's
 * `sample_dpmpp_2s_ancestral`. Reads eta (default 1), sNoise (1).
 */

import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { ancestralStep } from './ancestral-step.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, evaluate, exponentialStep, sigmaSteps } from './sigma-steps.ts';

export async function* sampleDpmpp2sAncestral(
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
    if (down === 0) latent = denoised;
    else {
      const middle = Math.sqrt(sigma * down);
      const second = await evaluate(denoise, exponentialStep(latent, denoised, sigma, middle), middle, signal);
      latent = exponentialStep(latent, second, sigma, down);
    }
    if (next > 0) latent = addNoise(latent, noise, sigma, next, sNoise * up);
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export const dpmpp2sAncestral = sigmaSampler({
  name: 'dpmpp-2s-ancestral',
  title: 'DPM++ 2S a',
  callsPerStep: 2,
  aliases: ['dpmpp_2s_ancestral', 'dpmpp_2s_a', 'k_dpmpp_2s_a', 'sample_dpmpp_2s_ancestral'],
  usesStepNoise: true,
  schedule: 'karras',
  sample: sampleDpmpp2sAncestral,
});
