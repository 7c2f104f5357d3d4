/**
 * DDPM over any sigmas: the ancestral step of Ho et al. 2020, "Denoising Diffusion Probabilistic Models" (arXiv 2006.11239), algorithm 2, with
 * the posterior variance beta-tilde, between two levels of any schedule. One model call a step. After ComfyUI's `sample_ddpm`
 * (`DDPMSampler_step`). Reads nothing.
 *
 * In the variance-exploding space the posterior's mean moves x towards the denoised latent by 1 - (next / sigma)², and its deviation is
 * next · sqrt(1 - (next / sigma)²).
 */

import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { linearCombination } from '../../tensor/arithmetic.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, evaluate, sigmaSteps } from './sigma-steps.ts';

export async function* sampleDdpmAncestral(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: SigmaSamplerOptions,
): Sampling {
  const { noise, signal } = options;
  let latent = x;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const denoised = await evaluate(denoise, latent, sigma, signal);
    const kept = (next / sigma) ** 2;
    latent = addNoise(
      linearCombination([kept, latent], [1 - kept, denoised]),
      noise,
      sigma,
      next,
      next * Math.sqrt(Math.max(1 - kept, 0)),
    );
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export const ddpmAncestral = sigmaSampler({
  name: 'ddpm-ancestral',
  title: 'DDPM (any sigmas)',
  aliases: ['comfy_ddpm', 'sample_ddpm'],
  usesStepNoise: true,
  sample: sampleDdpmAncestral,
});
