/**
 * DPM++ 3M SDE: the stochastic multistep DPM-Solver++ of Lu et al. 2022 (arXiv 2211.01095) taken to third order by Katherine Crowson (2023),
 * with noise from one Brownian path. One model call a step. After k-diffusion's `sample_dpmpp_3m_sde`. Reads eta (default 1), sNoise (1).
 */

import { addScaled, linearCombination } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, evaluate, sigmaSteps } from './sigma-steps.ts';

interface Past {
  readonly denoised: Latent;
  /** Length of the step taken from there, in log sigma. */
  readonly h: number;
}

export async function* sampleDpmpp3mSde(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: SigmaSamplerOptions,
): Sampling {
  const { noise, eta = 1, sNoise = 1, signal } = options;
  let latent = x;
  let first: Past | undefined; // of the last step
  let second: Past | undefined; // of the one before
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const denoised = await evaluate(denoise, latent, sigma, signal);
    const h = Math.log(sigma / next); // infinite for a step to 0
    if (next === 0) latent = denoised;
    else {
      const hEta = h * (1 + eta);
      const phi1 = -Math.expm1(-hEta);
      const phi2 = 1 - phi1 / hEta;
      latent = linearCombination([Math.exp(-hEta), latent], [phi1, denoised]);
      if (first) {
        // Divided differences of the denoised latent, in units of this step.
        const r0 = first.h / h;
        const newer = linearCombination([1 / r0, denoised], [-1 / r0, first.denoised]);
        if (second) {
          const r1 = second.h / h;
          const phi3 = phi2 / hEta - 0.5;
          const older = linearCombination([1 / r1, first.denoised], [-1 / r1, second.denoised]);
          const curvature = linearCombination([1 / (r0 + r1), newer], [-1 / (r0 + r1), older]);
          latent = linearCombination([1, latent], [phi2, newer], [phi2 * r0 - phi3, curvature]);
        } else latent = addScaled(latent, phi2, newer);
      }
      latent = addNoise(latent, noise, sigma, next, sNoise * next * Math.sqrt(-Math.expm1(-2 * eta * h)));
    }
    second = first;
    first = { denoised, h };
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export const dpmpp3mSde = sigmaSampler({
  name: 'dpmpp-3m-sde',
  title: 'DPM++ 3M SDE',
  aliases: ['dpmpp_3m_sde', 'dpmpp_3m_sde_gpu', 'k_dpmpp_3m_sde', 'sample_dpmpp_3m_sde'],
  usesStepNoise: true,
  usesIntervalNoise: true,
  schedule: 'exponential',
  sample: sampleDpmpp3mSde,
});
