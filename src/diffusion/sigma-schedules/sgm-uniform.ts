/** `sgm_uniform`: as `normal` with one step more, whose last level (the model's lowest) is left out. After Stability's sgm; A1111, ComfyUI. */

import { checkSteps, highest, linspace, lowest, type SigmaSchedule, withZero } from './sigma-schedule.ts';

export const sgmUniform: SigmaSchedule = (steps, model, options = {}) => {
  checkSteps(steps);
  const start = model.timestepOfSigma(highest(model, options));
  const end = model.timestepOfSigma(lowest(model, options));
  const timesteps = linspace(start, end, steps + 1).subarray(0, steps);
  return withZero(timesteps.map((t) => model.sigmaOfTimestep(t)));
};
