/**
 * LMS: the linear multistep (Adams-Bashforth) method on the ODE of Karras et al. 2022, with coefficients for uneven steps: the integral over
 * the step of the polynomial through the last `order` slopes. One model call a step. After k-diffusion's `sample_lms`; Katherine Crowson,
 * 2022. Reads order (default 4) and endsAtDenoised.
 */

import { StableDiffusionError } from '../../errors.ts';
import { linearCombination, type Term } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { derivative, evaluate, sigmaSteps } from './sigma-steps.ts';
import { lagrangePolynomial } from '../lagrange.ts';

export type LmsOptions = Partial<Pick<SigmaSamplerOptions, 'order' | 'endsAtDenoised' | 'signal'>>;

/** The integral over [from, to] of the Lagrange polynomial that is 1 at nodes[j] and 0 at the others. */
function lagrangeIntegral(nodes: readonly number[], j: number, from: number, to: number): number {
  // In powers of (tau - from), so that the integral is a polynomial in to - from without cancellation of large powers.
  const near = nodes.map((node) => node - from);
  const width = to - from;
  return lagrangePolynomial(near, j).reduce((sum, c, power) => sum + (c * width ** (power + 1)) / (power + 1), 0);
}

export async function* sampleLms(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: LmsOptions = {},
): Sampling {
  const { order = 4, endsAtDenoised = false, signal } = options;
  if (!Number.isInteger(order) || order < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `The order of LMS is ${order}; it must be a whole number from 1.`,
    );
  let latent = x;
  const history: { readonly sigma: number; readonly slope: Latent }[] = []; // the newest first
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const denoised = await evaluate(denoise, latent, sigma, signal);
    history.unshift({ sigma, slope: derivative(latent, sigma, denoised) });
    history.length = Math.min(history.length, order);
    if (next === 0 && endsAtDenoised) latent = denoised;
    else {
      const nodes = history.map((entry) => entry.sigma);
      const terms = history.map(({ slope }, j): Term => [lagrangeIntegral(nodes, j, sigma, next), slope]);
      latent = linearCombination([1, latent], ...terms);
    }
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export const lms = sigmaSampler({
  name: 'lms',
  title: 'LMS',
  aliases: ['k_lms', 'sample_lms'],
  usesStepNoise: false,
  sample: sampleLms,
});
