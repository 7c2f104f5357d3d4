/** Euler with churn as diffusers' EulerDiscreteScheduler.step: the noise comes after the model was called, where Karras et al. and k-diffusion have it before. */

import { throwIfAborted } from '../../errors.ts';
import { addScaled, linearCombination } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Parameterization } from '../parameterization.ts';
import type { Sampling } from '../sampler.ts';
import type { SigmaSamplerOptions } from '../samplers/sigma-sampler.ts';
import { sigmaSteps } from '../samplers/sigma-steps.ts';

export async function* sampleEulerChurnAfter(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: SigmaSamplerOptions & { readonly parameterization: Parameterization },
): Sampling {
  const {
    sChurn = 0,
    sTmin = 0,
    sTmax = Number.POSITIVE_INFINITY,
    sNoise = 1,
    noise,
    parameterization,
    signal,
  } = options;
  let latent = x;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    throwIfAborted(signal);
    const gamma = sigma >= sTmin && sigma <= sTmax ? Math.min(sChurn / steps, Math.SQRT2 - 1) : 0;
    const sigmaHat = sigma * (gamma + 1);
    let denoised = await denoise(latent, sigma, signal);
    if (gamma > 0) {
      const churned = addScaled(latent, sNoise * Math.sqrt(sigmaHat ** 2 - sigma ** 2), noise(sigma, sigmaHat));
      // What the model said of x, taken for the churned x: its eps at the higher level, its v at the old one, its x_0 as it is.
      if (parameterization === 'eps')
        denoised = linearCombination([1, churned], [-sigmaHat / sigma, latent], [sigmaHat / sigma, denoised]);
      else if (parameterization === 'v')
        denoised = linearCombination(
          [1, denoised],
          [1 / (sigma * sigma + 1), churned],
          [-1 / (sigma * sigma + 1), latent],
        );
      latent = churned;
    }
    latent = linearCombination([next / sigmaHat, latent], [1 - next / sigmaHat, denoised]);
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}
