/** `vp`: the continuous variance-preserving schedule of Song et al. 2021, in the form of Karras et al. 2022, table 1. Independent of the model. */

import { checkSteps, linspace, type SigmaSchedule, withZero } from './sigma-schedule.ts';

export const vp: SigmaSchedule = (steps, _model, options = {}) => {
  checkSteps(steps);
  const { betaD = 19.9, betaMin = 0.1, epsS = 1e-3 } = options;
  return withZero(linspace(1, epsS, steps).map((t) => Math.sqrt(Math.expm1((betaD * t * t) / 2 + betaMin * t))));
};
