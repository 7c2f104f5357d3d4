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
export function logLinear(table: readonly number[], count: number): Float64Array {
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

/** ComfyUI's tables, with more digits: as many levels as steps and one, of which the last becomes 0. */
const comfyTables = {
  SD1: [
    14.6146412293, 6.4745760956, 3.8636745985, 2.694615152, 1.8841921177, 1.3943805092, 0.9642583904, 0.6523686016,
    0.3977456272, 0.1515232662, 0.0291671582,
  ],
  SDXL: [
    14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141, 0.5550693289, 0.3798540708,
    0.2332364134, 0.1114188177, 0.0291671582,
  ],
  SVD: [700, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002],
} as const;

/** The levels of ComfyUI's AlignYourStepsScheduler; `steps` from 1. */
export function comfyAlignedSteps(model: keyof typeof comfyTables, steps: number): Float32Array {
  checkSteps(steps);
  const table = comfyTables[model];
  const sigmas = Float32Array.from(steps + 1 === table.length ? table : logLinear(table, steps + 1));
  sigmas[steps] = 0;
  return sigmas;
}

export const alignYourSteps: SigmaSchedule = schedule(stableDiffusion);
export const alignYourStepsXl: SigmaSchedule = schedule(stableDiffusionXl);
