/** `exponential`: even steps in log sigma (k-diffusion's `get_sigmas_exponential`). */

import { checkSteps, highest, linspace, lowest, type SigmaSchedule, withZero } from './sigma-schedule.ts';

export const exponential: SigmaSchedule = (steps, model, options = {}) => {
  checkSteps(steps);
  const start = Math.log(highest(model, options));
  const end = Math.log(lowest(model, options));
  return withZero(linspace(start, end, steps).map(Math.exp));
};
