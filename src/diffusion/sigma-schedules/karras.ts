/** `karras`: Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", equation 5. Even steps in sigma^(1/rho). */

import { checkSteps, highest, linspace, lowest, type SigmaSchedule, withZero } from './sigma-schedule.ts';

/** The schedule on its own range, without a model; ends in 0. */
export function karrasSigmas(steps: number, min: number, max: number, rho = 7): Float32Array {
  checkSteps(steps);
  const from = Math.fround(max ** (1 / rho));
  const width = Math.fround(min ** (1 / rho) - max ** (1 / rho));
  return withZero(linspace(0, 1, steps).map((ramp) => Math.fround(from + Math.fround(ramp * width)) ** rho));
}

export const karras: SigmaSchedule = (steps, model, options = {}) =>
  karrasSigmas(steps, lowest(model, options), highest(model, options), options.rho);
