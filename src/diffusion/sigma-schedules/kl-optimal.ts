/**
 * `kl_optimal`: even steps in arctan sigma. Sabour, Fidler, Kreis 2024, "Align Your Steps", theorem 3.1 (the schedule that is
 * optimal for Gaussian data).
 *
 * ComfyUI takes `steps` levels down to sigma_min and then 0. A1111 takes `steps + 1` levels, of which sigma_min is the last: no 0.
 */

import { checkSteps, highest, linspace, lowest, type SigmaSchedule, withZero } from './sigma-schedule.ts';

/** ComfyUI's form; with one step it is [sigma_max, 0], where ComfyUI divides by zero. */
export const klOptimal: SigmaSchedule = (steps, model, options = {}) => {
  checkSteps(steps);
  const from = Math.atan(highest(model, options));
  const to = Math.atan(lowest(model, options));
  return withZero(linspace(from, to, steps).map(Math.tan));
};

/** A1111's form: ends in sigma_min. */
export const klOptimalToMin: SigmaSchedule = (steps, model, options = {}) => {
  checkSteps(steps);
  const from = Math.atan(highest(model, options));
  const to = Math.atan(lowest(model, options));
  return Float32Array.from(linspace(from, to, steps + 1), Math.tan);
};
