/**
 * DPM++ 2M SDE: the stochastic DPM-Solver++(2M) ("SDE-DPM-Solver++(2M)"), Lu et al. 2022 (arXiv 2211.01095), section 5.2 and appendix D, with
 * noise from one Brownian path. One model call a step. After k-diffusion's `sample_dpmpp_2m_sde`.
 * Reads eta (default 1), sNoise (1), solverType (`midpoint`; or `heun`, another weight for the second-order term).
 */

import { StableDiffusionError } from '../../errors.ts';
import { addScaled, linearCombination, subtract } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, evaluate, sigmaSteps } from './sigma-steps.ts';

export async function* sampleDpmpp2mSde(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: SigmaSamplerOptions,
): Sampling {
  const { noise, eta = 1, sNoise = 1, solverType = 'midpoint', signal } = options;
  if (solverType !== 'midpoint' && solverType !== 'heun') {
    throw new StableDiffusionError(
      'invalid-argument',
      `The solver type of DPM++ 2M SDE is ${JSON.stringify(solverType)}; it must be midpoint or heun.`,
    );
  }
  let latent = x;
  let last: { readonly denoised: Latent; readonly h: number } | undefined;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const denoised = await evaluate(denoise, latent, sigma, signal);
    const h = Math.log(sigma / next); // infinite for a step to 0
    if (next === 0) latent = denoised;
    else {
      const hEta = h * (1 + eta);
      const gain = -Math.expm1(-hEta);
      latent = linearCombination([(next / sigma) * Math.exp(-eta * h), latent], [gain, denoised]);
      if (last) {
        const weight = solverType === 'heun' ? 1 - gain / hEta : gain / 2;
        latent = addScaled(latent, (weight * h) / last.h, subtract(denoised, last.denoised));
      }
      latent = addNoise(latent, noise, sigma, next, sNoise * next * Math.sqrt(-Math.expm1(-2 * eta * h)));
    }
    last = { denoised, h };
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export const dpmpp2mSde = sigmaSampler({
  name: 'dpmpp-2m-sde',
  title: 'DPM++ 2M SDE',
  aliases: ['dpmpp_2m_sde', 'dpmpp_2m_sde_gpu', 'k_dpmpp_2m_sde', 'sample_dpmpp_2m_sde'],
  usesStepNoise: true,
  usesIntervalNoise: true,
  schedule: 'exponential',
  sample: sampleDpmpp2mSde,
});

/** `dpmpp-2m-sde` with solverType `heun`, which A1111 and ComfyUI list as a separate sampler. */
export const dpmpp2mSdeHeun = sigmaSampler({
  name: 'dpmpp-2m-sde-heun',
  title: 'DPM++ 2M SDE Heun',
  aliases: ['dpmpp_2m_sde_heun', 'dpmpp_2m_sde_heun_gpu', 'k_dpmpp_2m_sde_heun', 'sample_dpmpp_2m_sde_heun'],
  usesStepNoise: true,
  usesIntervalNoise: true,
  schedule: 'exponential',
  sample: (denoise, x, sigmas, options) => sampleDpmpp2mSde(denoise, x, sigmas, { solverType: 'heun', ...options }),
});
