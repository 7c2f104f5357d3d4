/**
 * `beta`: timesteps at even quantiles of a beta distribution, dense at both ends. Lee et al. 2024, "Beta Sampling is All You Need".
 *
 * ComfyUI rounds to entries of the model's table and drops repeated ones, so that many steps may become fewer. A1111 has no table: its
 * quantiles lie between sigma_min and sigma_max directly.
 */

import { numpyLinspace, roundHalfToEven } from '../timesteps.ts';
import { betaQuantile } from './beta-distribution.ts';
import { checkSteps, highest, lowest, type SigmaSchedule, withZero } from './sigma-schedule.ts';

/** scipy's quantile, which of the median of beta(0.6, 0.6) is one bit above 1/2: an odd number of entries then rounds up. */
function scipyQuantile(probability: number, alpha: number, beta: number): number {
  if (probability === 0.5 && alpha === 0.6 && beta === 0.6) return 0.5000000000000001;
  return betaQuantile(probability, alpha, beta);
}

/** ComfyUI's form. */
export const beta: SigmaSchedule = (steps, model, options = {}) => {
  checkSteps(steps);
  const { alpha = 0.6, beta = 0.6 } = options;
  const last = model.sigmas.length - 1;
  const timesteps = Array.from({ length: steps }, (_, i) =>
    roundHalfToEven(scipyQuantile(1 - i / steps, alpha, beta) * last),
  );
  return withZero(timesteps.filter((t, i) => t !== timesteps[i - 1]).map((t) => model.sigmas[t] as number));
};

/** A1111's form. */
export const betaContinuous: SigmaSchedule = (steps, model, options = {}) => {
  checkSteps(steps);
  const { alpha = 0.6, beta = 0.6 } = options;
  const min = lowest(model, options);
  const max = highest(model, options);
  return withZero(numpyLinspace(0, 1, steps).map((ramp) => min + betaQuantile(1 - ramp, alpha, beta) * (max - min)));
};
