/** `polyexponential`: a polynomial of degree rho in log sigma (k-diffusion's `get_sigmas_polyexponential`); rho 1 is `exponential`. */

import { checkSteps, highest, linspace, lowest, type SigmaSchedule, withZero } from './sigma-schedule.ts';

export const polyexponential: SigmaSchedule = (steps, model, options = {}) => {
  checkSteps(steps);
  const { rho = 1 } = options;
  const low = Math.fround(Math.log(lowest(model, options)));
  const width = Math.fround(Math.log(highest(model, options)) - Math.log(lowest(model, options)));
  return withZero(
    linspace(1, 0, steps)
      .map((ramp) => ramp ** rho)
      .map((ramp) => Math.exp(Math.fround(Math.fround(ramp * width) + low))),
  );
};
