/**
 * `align_your_steps`: levels found by optimisation for Stable Diffusion 1.5 and SDXL. Sabour, Fidler, Kreis 2024, "Align Your Steps";
 * the numbers are those NVIDIA published for ten steps, and for other numbers of steps log sigma is interpolated, as they advise.
 *
 * As in A1111: `steps` levels and a 0; for eleven steps the table itself.
 */

import { numpyLinspace } from '../timesteps.ts';
import { checkSteps, type SigmaSchedule, withZero } from './sigma-schedule.ts';

const stableDiffusion = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029];
const stableDiffusionXl = [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.38, 0.234, 0.113, 0.029];

/** `count` values between those of a descending table, linear in the logarithm. One value is the table's first. */
function logLinear(table: readonly number[], count: number): Float64Array {
  // The original interpolates the reversed table over [0, 1], so that a single value is the table's last.
  return numpyLinspace(1, 0, count).map((position, i) => {
    const at = (count === 1 ? 1 : 1 - position) * (table.length - 1);
    const low = Math.min(Math.floor(at), table.length - 2);
    const from = Math.log(table[low] as number);
    const to = Math.log(table[low + 1] as number);
    return i === 0 && count > 1 ? (table[0] as number) : Math.exp(from + (at - low) * (to - from));
  });
}

function schedule(table: readonly number[]): SigmaSchedule {
  return (steps) => {
    checkSteps(steps);
    return withZero(steps === table.length ? table : logLinear(table, steps));
  };
}

export const alignYourSteps: SigmaSchedule = schedule(stableDiffusion);
export const alignYourStepsXl: SigmaSchedule = schedule(stableDiffusionXl);
