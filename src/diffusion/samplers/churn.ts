/** Churn: noise added before a step, so that an ODE solver becomes stochastic (Karras et al. 2022, algorithm 2, lines 4 to 6). */

import type { Latent } from '../denoiser.ts';
import type { SigmaSamplerOptions } from './sigma-sampler.ts';
import { addNoise, type SigmaStep } from './sigma-steps.ts';

/** Settings of Euler, Heun and DPM2; they add noise only if `sChurn` is above 0. */
export type ChurnOptions = Partial<
  Pick<SigmaSamplerOptions, 'noise' | 'signal' | 'sChurn' | 'sTmin' | 'sTmax' | 'sNoise' | 'drawsOnlyUsed'>
>;

export interface Churned {
  readonly x: Latent;
  /** The raised level that `x` is at. */
  readonly sigma: number;
}

/**
 * x at the step's level, raised by a factor of 1 + min(sChurn / steps, sqrt 2 - 1) where the level is within [sTmin, sTmax].
 * Defaults as k-diffusion's: sChurn 0, sTmin 0, sTmax infinite, sNoise 1.
 */
export function churn(x: Latent, step: SigmaStep, options: ChurnOptions): Churned {
  const { noise, sChurn = 0, sTmin = 0, sTmax = Number.POSITIVE_INFINITY, sNoise = 1, drawsOnlyUsed = false } = options;
  const { sigma, next, steps } = step;
  if (!(sChurn > 0)) return { x, sigma };
  if (sigma < sTmin || sigma > sTmax) {
    if (!drawsOnlyUsed) noise?.(sigma, next); // k-diffusion draws at every step; later draws depend on it
    return { x, sigma };
  }
  const raised = Math.fround(sigma * (1 + Math.min(sChurn / steps, Math.SQRT2 - 1)));
  return { x: addNoise(x, noise, sigma, next, sNoise * Math.sqrt(raised ** 2 - sigma ** 2)), sigma: raised };
}
