/**
 * `normal`, the default of k-diffusion (`DiscreteSchedule.get_sigmas`): timesteps evenly spaced from the last to the first.
 * A1111 calls it `uniform`, and its default, too.
 */

import type { NoiseSchedule } from '../noise-schedule.ts';
import { checkSteps, highest, linspace, lowest, type SigmaSchedule, withZero } from './sigma-schedule.ts';

export const normal: SigmaSchedule = (steps, model, options = {}) => {
  checkSteps(steps);
  const start = model.timestepOfSigma(highest(model, options));
  const end = model.timestepOfSigma(lowest(model, options));
  return withZero(linspace(start, end, steps).map((t) => model.sigmaOfTimestep(t)));
};

/** Every level the model was trained on, the highest first, then 0 (`get_sigmas(None)`). */
export function allSigmas(model: NoiseSchedule): Float32Array {
  return withZero(model.sigmas.toReversed());
}
