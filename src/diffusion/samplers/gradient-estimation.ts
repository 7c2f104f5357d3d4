/**
 * Gradient estimation (Permenter and Yuan 2024, "Interpreting and Improving Diffusion Models from an Optimization Perspective"): Euler's step
 * along a slope that is extrapolated from the last one. One model call a step. After ComfyUI's `sample_gradient_estimation`, and its
 * CFG++ form. Reads gamma (default 2).
 */

import { addScaled, linearCombination } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { evaluateForm } from './cfg-pp.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { alongSlope, derivative, sigmaSteps } from './sigma-steps.ts';

type Options = Partial<Pick<SigmaSamplerOptions, 'gamma' | 'signal'>>;

function sampleWith(isCfgPp: boolean) {
  return async function* (
    denoise: Denoiser,
    x: Latent,
    sigmas: ArrayLike<number>,
    { gamma = 2, signal }: Options = {},
  ): Sampling {
    let latent = x;
    let last: Latent | undefined;
    for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
      const { denoised, unconditional } = await evaluateForm(denoise, latent, sigma, isCfgPp, signal);
      const slope = derivative(latent, sigma, unconditional);
      if (next === 0) latent = denoised;
      else {
        latent = isCfgPp ? addScaled(denoised, next, slope) : alongSlope(latent, slope, sigma, next);
        if (last) {
          const factor = (gamma - 1) * (next - sigma);
          latent = linearCombination([1, latent], [factor, slope], [-factor, last]);
        }
      }
      last = slope;
      yield { step, steps, sigma, latent, denoised };
    }
    return latent;
  };
}

export const sampleGradientEstimation = sampleWith(false);
export const sampleGradientEstimationCfgPp = sampleWith(true);

export const gradientEstimation = sigmaSampler({
  name: 'gradient-estimation',
  title: 'Gradient estimation',
  aliases: ['gradient_estimation', 'sample_gradient_estimation'],
  usesStepNoise: false,
  sample: sampleGradientEstimation,
});

export const gradientEstimationCfgPp = sigmaSampler({
  name: 'gradient-estimation-cfg-pp',
  title: 'Gradient estimation CFG++',
  aliases: ['gradient_estimation_cfg_pp', 'sample_gradient_estimation_cfg_pp'],
  usesStepNoise: false,
  needsUnconditional: true,
  sample: sampleGradientEstimationCfgPp,
});
