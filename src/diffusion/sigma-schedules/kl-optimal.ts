/**
 * `kl_optimal`: even steps in arctan sigma. Sabour, Fidler, Kreis 2024, "Align Your Steps", theorem 3.1 (the schedule that is
 * optimal for Gaussian data).
 *
 * ComfyUI takes `steps` levels down to sigma_min and then 0. A1111 takes `steps + 1` levels, of which sigma_min is the last: no 0.
 */

import { checkSteps, highest, lowest, type SigmaSchedule, withZero } from './sigma-schedule.ts';

/** `count` levels whose arctangents are evenly spaced, in float32. */
function evenAngles(max: number, min: number, count: number): Float32Array {
  const from = Math.fround(Math.atan(max));
  const to = Math.fround(Math.atan(min));
  return Float32Array.from({ length: count }, (_, i) => {
    const ramp = Math.fround(i / Math.max(count - 1, 1));
    return Math.tan(Math.fround(Math.fround(ramp * to) + Math.fround(Math.fround(1 - ramp) * from)));
  });
}

/** ComfyUI's form; with one step it is [sigma_max, 0], where ComfyUI divides by zero. */
export const klOptimal: SigmaSchedule = (steps, model, options = {}) => {
  checkSteps(steps);
  return withZero(evenAngles(highest(model, options), lowest(model, options), steps));
};

/** A1111's form: ends in sigma_min. */
export const klOptimalToMin: SigmaSchedule = (steps, model, options = {}) => {
  checkSteps(steps);
  return evenAngles(highest(model, options), lowest(model, options), steps + 1);
};
