/**
 * DPM++ SDE: the stochastic DPM-Solver++(2S): Lu et al. 2022 (arXiv 2211.01095), algorithm 1, with an ancestral split of both of its
 * stages, and the noise of each from one Brownian path. Two model calls a step, one for a step to 0. After k-diffusion's `sample_dpmpp_sde`.
 * Reads eta (default 1), sNoise (1), r (where in the step the second call is, 1/2), exactLevels.
 */

import { StableDiffusionError } from '../../errors.ts';
import { linearCombination } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { ancestralStep } from './ancestral-step.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, evaluate, exponentialStep, sigmaSteps } from './sigma-steps.ts';

const timeOf = (sigma: number): number => Math.fround(-Math.log(sigma));
const levelOf = (t: number): number => Math.fround(Math.exp(-Math.fround(t)));

export async function* sampleDpmppSde(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: SigmaSamplerOptions,
): Sampling {
  const { noise, eta = 1, sNoise = 1, r = 1 / 2, exactLevels = false, signal } = options;
  if (!(r > 0 && r <= 1))
    throw new StableDiffusionError('invalid-argument', `The r of DPM++ SDE is ${r}; it must be above 0 and at most 1.`);
  /** From `sigma` to `next` with a constant denoised latent. */
  const stage = (from: Latent, towards: Latent, sigma: number, next: number): Latent => {
    const { down, up } = ancestralStep(sigma, next, eta);
    return addNoise(exponentialStep(from, towards, sigma, down), noise, sigma, next, sNoise * up);
  };
  let latent = x;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const denoised = await evaluate(denoise, latent, sigma, signal);
    if (next === 0) latent = denoised;
    else {
      // As float32 through t = -log sigma and back, so that the Brownian path is evaluated at the original's points.
      const t = timeOf(sigma);
      const tNext = timeOf(next);
      const middle = levelOf(t + Math.fround(Math.fround(tNext - t) * r));
      const [from, to] = exactLevels ? [sigma, next] : [levelOf(t), levelOf(tNext)];
      const second = await evaluate(denoise, stage(latent, denoised, from, middle), middle, signal);
      const weight = 1 / (2 * r);
      latent = stage(latent, linearCombination([1 - weight, denoised], [weight, second]), from, to);
    }
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export const dpmppSde = sigmaSampler({
  name: 'dpmpp-sde',
  title: 'DPM++ SDE',
  callsPerStep: 2,
  aliases: ['dpmpp_sde', 'dpmpp_sde_gpu', 'k_dpmpp_sde', 'sample_dpmpp_sde'],
  usesStepNoise: true,
  usesIntervalNoise: true,
  schedule: 'karras',
  sample: sampleDpmppSde,
});
