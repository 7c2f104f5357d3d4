/**
 * The trained timesteps that a sampler visits.
 *
 * `ddimTimesteps` and `ddimSteps` are make_ddim_timesteps and make_ddim_sampling_parameters of CompVis
 * (ldm/modules/diffusionmodules/util.py); `spacedTimesteps` is diffusers' `timestep_spacing`.
 */

import { StableDiffusionError } from '../errors.ts';
import type { NoiseSchedule } from './noise-schedule.ts';

/** `uniform` and `quad` are CompVis's; `a1111` is uniform with the last timestep put on T - 1 where it would lie beyond. */
export type DdimSpacing = (typeof ddimSpacings)[number];
export const ddimSpacings = ['uniform', 'quad', 'a1111'] as const;

function checkSteps(steps: number): void {
  if (!Number.isSafeInteger(steps) || steps < 1) {
    throw new StableDiffusionError(
      'invalid-argument',
      `The number of steps is ${steps}; it must be a whole number from 1.`,
    );
  }
}

/** numpy.linspace. */
export function numpyLinspace(start: number, end: number, count: number): Float64Array {
  const step = count > 1 ? (end - start) / (count - 1) : 0;
  return Float64Array.from({ length: count }, (_, i) => (i === count - 1 && count > 1 ? end : start + i * step));
}

/** numpy's and torch's rounding: half to even. */
export function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/**
 * Ascending timesteps in 1 … T-1, one more than the multiples of the stride as CompVis has it.
 *
 * `uniform` strides by floor(T / steps), so there may be more of them than `steps` (7 steps of 1000: 8 timesteps).
 * Where the original runs out of its table and raises (T = 1000: 599 step counts, 3, 9 and 27 among them), because the last multiple
 * plus one is T, that timestep is left out: so 3 gives 1, 334, 667. More steps than T become T.
 */
export function ddimTimesteps(method: DdimSpacing, steps: number, trainTimesteps: number): number[] {
  checkSteps(steps);
  switch (method) {
    case 'uniform':
    case 'a1111': {
      const stride = Math.max(1, Math.floor(trainTimesteps / steps));
      const timesteps: number[] = [];
      for (let t = 0; t < trainTimesteps; t += stride) timesteps.push(t + 1);
      if (method === 'a1111') return timesteps.map((t) => Math.min(t, trainTimesteps - 1));
      return trainTimesteps === 1 ? [0] : timesteps.filter((t) => t < trainTimesteps);
    }
    case 'quad':
      return Array.from(numpyLinspace(0, Math.sqrt(trainTimesteps * 0.8), steps), (root) =>
        Math.min(Math.trunc(root ** 2) + 1, trainTimesteps - 1),
      );
    default:
      throw new StableDiffusionError(
        'invalid-argument',
        `Unknown spacing of DDIM timesteps ${JSON.stringify(method)}. Available: uniform, quad, a1111.`,
      );
  }
}

/** One step of a sampler of the DDIM family, from a timestep's noise level to a lower one (or a higher one, when it inverts). */
export interface DdimStep {
  readonly timestep: number;
  /** alphas_cumprod at the timestep. */
  readonly alphaBar: number;
  /** alphas_cumprod after the step. */
  readonly alphaBarPrev: number;
  /** There is no other. NumPy keeps the original's formulas in float32 then, and has them in float64 for several. */
  readonly only?: boolean;
}

/** The steps of CompVis's DDIM and PLMS, in running order; the last ends at alphas_cumprod[0]. */
export function ddimSteps(schedule: NoiseSchedule, ascendingTimesteps: readonly number[]): DdimStep[] {
  const steps = ascendingTimesteps.map((timestep, i) => ({
    timestep,
    alphaBar: schedule.alphaBarAt(timestep),
    alphaBarPrev: schedule.alphaBarAt(i === 0 ? 0 : (ascendingTimesteps[i - 1] as number)),
    only: ascendingTimesteps.length === 1,
  }));
  return steps.reverse();
}

/** Standard deviation of the fresh noise of a DDIM step (Song et al. 2021, arXiv 2010.02502, equation 16). The float32 difference is the original's. */
export function ddimSigma({ alphaBar, alphaBarPrev, only }: DdimStep, eta: number): number {
  const round = only ? Math.fround : (value: number) => value;
  const ratio = round(round(1 - alphaBarPrev) / Math.fround(1 - alphaBar));
  const variance = round(ratio * round(1 - round(alphaBar / alphaBarPrev)));
  return round(eta * round(Math.sqrt(Math.max(0, variance))));
}

export type TimestepSpacing = 'leading' | 'linspace' | 'trailing';

/** Descending whole timesteps of diffusers' DDIM, DDPM and PNDM schedulers (the others have forms of their own, see diffusers-sigmas.ts). */
export function spacedTimesteps(
  spacing: TimestepSpacing,
  steps: number,
  trainTimesteps: number,
  stepsOffset = 0,
): number[] {
  checkSteps(steps);
  if (steps > trainTimesteps) {
    throw new StableDiffusionError(
      'invalid-argument',
      `The model has ${trainTimesteps} timesteps, so it takes at most that many steps, got ${steps}.`,
    );
  }
  switch (spacing) {
    case 'linspace':
      return Array.from(numpyLinspace(0, trainTimesteps - 1, steps), roundHalfToEven).reverse();
    case 'leading': {
      const stride = Math.floor(trainTimesteps / steps);
      return Array.from({ length: steps }, (_, i) =>
        Math.min((steps - 1 - i) * stride + stepsOffset, trainTimesteps - 1),
      );
    }
    case 'trailing': {
      const stride = trainTimesteps / steps;
      return Array.from(
        { length: Math.ceil(trainTimesteps / stride) },
        (_, i) => roundHalfToEven(trainTimesteps - i * stride) - 1,
      );
    }
    default:
      throw new StableDiffusionError(
        'config-invalid',
        `The timestep_spacing ${JSON.stringify(spacing)} is not known; leading, linspace and trailing are.`,
      );
  }
}
