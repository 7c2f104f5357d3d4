/** SigmaSchedule: a number of steps and a model's noise levels in, descending noise levels out. One file each in this folder. */

import { StableDiffusionError } from '../../errors.ts';
import type { NoiseSchedule } from '../noise-schedule.ts';

export interface SigmaScheduleOptions {
  /** Ends of the range for schedules that are formulas; by default the model's own. */
  readonly sigmaMin?: number | undefined;
  readonly sigmaMax?: number | undefined;
  /** Exponent of `karras` (default 7) and `polyexponential` (default 1). */
  readonly rho?: number | undefined;
  /** Parameters of the beta distribution of `beta` and `beta_continuous` (default 0.6 both). */
  readonly alpha?: number | undefined;
  readonly beta?: number | undefined;
  /** `linear_quadratic`: where the line ends (default 0.025), and after how many steps (default half of them). */
  readonly thresholdNoise?: number | undefined;
  readonly linearSteps?: number | undefined;
  /** `vp`: beta_d (default 19.9), beta_min (default 0.1) and the last time (default 1e-3). */
  readonly betaD?: number | undefined;
  readonly betaMin?: number | undefined;
  readonly epsS?: number | undefined;
  /** `turbo`: the part of the noise to remove (default 1). */
  readonly denoise?: number | undefined;
}

/**
 * Returns float32 noise levels, descending, the last one 0 unless the schedule's comment states otherwise: `steps + 1` values, so that
 * a sampler makes `steps` steps (some schedules of the table kind make a few more or fewer, as their originals do).
 * Throws `invalid-argument` for a number of steps that is not a whole number from 1.
 */
export type SigmaSchedule = (steps: number, model: NoiseSchedule, options?: SigmaScheduleOptions) => Float32Array;

export function checkSteps(steps: number): void {
  if (!Number.isInteger(steps) || steps < 1) {
    throw new StableDiffusionError(
      'invalid-argument',
      `The number of steps is ${steps}; it must be a whole number from 1.`,
    );
  }
}

/** The upper end of the range: as requested, else the model's highest level. */
export function highest(model: NoiseSchedule, options: SigmaScheduleOptions): number {
  return options.sigmaMax ?? (model.sigmas.at(-1) as number);
}

/** The lower end of the range: as requested, else the model's lowest level. */
export function lowest(model: NoiseSchedule, options: SigmaScheduleOptions): number {
  return options.sigmaMin ?? (model.sigmas[0] as number);
}

/**
 * `count` values from `start` to `end`, both included (only `start` where count is 1), as torch.linspace in float32 with its fused
 * multiplication. The schedules round as their originals so that their levels are the same to the bit, where libm allows: the noise of a
 * Brownian tree depends on the last bit of a level.
 */
export function linspace(start: number, end: number, count: number): Float32Array {
  const first = Math.fround(start);
  const last = Math.fround(end);
  const step = Math.fround(Math.fround(last - first) / Math.max(count - 1, 1));
  if (count === 1) return Float32Array.of(first);
  return Float32Array.from({ length: count }, (_, i) =>
    i < Math.floor(count / 2) ? first + step * i : last - step * (count - 1 - i),
  );
}

/** The values as float32, and a last 0. */
export function withZero(values: ArrayLike<number>): Float32Array {
  const sigmas = new Float32Array(values.length + 1);
  sigmas.set(values);
  return sigmas;
}
