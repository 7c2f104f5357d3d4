/** Euler with churn as diffusers' EulerDiscreteScheduler.step: the noise comes after the model was called, where Karras et al. and k-diffusion have it before. */

import { throwIfAborted } from '../../errors.ts';
import { addScaled, linearCombination } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import { objectiveOf, type Parameterization } from '../objective.ts';
import type { Sampling } from '../sampler.ts';
import type { SigmaSamplerOptions } from '../samplers/sigma-sampler.ts';
import { sigmaSteps } from '../samplers/sigma-steps.ts';

const factors = (parameterization: Parameterization, sigma: number) =>
  objectiveOf(parameterization).x0OfSigma(sigma, sigma * sigma + 1, Math.sqrt(sigma * sigma + 1));

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
      // What the model said of x, taken for the churned x: an eps at the higher level, others at the old one.
      const level = parameterization === 'eps' ? sigmaHat : sigma;
      const [ofX, ofOutput] = factors(parameterization, sigma);
      const [ofChurned, ofSame] = factors(parameterization, level);
      const ratio = ofSame / ofOutput;
      denoised = linearCombination([ofChurned, churned], [-ratio * ofX, latent], [ratio, denoised]);
      latent = churned;
    }
    latent = linearCombination([next / sigmaHat, latent], [1 - next / sigmaHat, denoised]);
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}
