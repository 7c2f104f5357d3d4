/**
 * The hand-over from one model to another within a run: the first removes most of the noise, the second, such as SDXL's refiner (Podell et al.
 * 2023, arXiv 2307.01952, section 2.5), the rest. The sampler does not notice.
 *
 * The rule is A1111's `apply_refiner` (modules/sd_samplers_common.py, v1.10.1) and that of diffusers' `denoising_end`: the second model takes over
 * at the first call whose timestep t has (T - 1 - t) / T >= the share; A1111's option counts the calls instead.
 */

import type { DiffusionModel } from './denoiser.ts';
import type { NoiseSchedule } from './noise-schedule.ts';

export interface HandOverOptions {
  /** Share of the noise that the first model removes, 0 to 1. */
  readonly at: number;
  /** Calls of the whole run: then `at` is a share of these. */
  readonly ofCalls?: number | undefined;
}

/** The whole timestep whose sigma is nearest to that of `timestep`. */
function nearestTimestep({ sigmas, sigmaOfTimestep }: NoiseSchedule, timestep: number): number {
  const low = Math.min(Math.max(Math.floor(timestep), 0), sigmas.length - 1);
  const high = Math.min(low + 1, sigmas.length - 1);
  const sigma = sigmaOfTimestep(timestep);
  return sigma - (sigmas[low] as number) <= (sigmas[high] as number) - sigma ? low : high;
}

/** Whether the second model answers the call `call`, counted from 0, at a timestep. */
export function isHandedOver(
  schedule: NoiseSchedule,
  { at, ofCalls }: HandOverOptions,
  timestep: number,
  call: number,
): boolean {
  if (ofCalls !== undefined) return call / ofCalls >= at;
  const { trainTimesteps: trained } = schedule;
  return (trained - 1 - nearestTimestep(schedule, timestep)) / trained >= at;
}

/** A model that is `first`, and from the hand-over on what `second` makes, given the number of calls before. It counts its calls, so it is for one run. */
export function handOver(
  first: DiffusionModel,
  second: (callsBefore: number) => DiffusionModel,
  options: HandOverOptions,
): DiffusionModel {
  let calls = 0;
  let later: DiffusionModel | undefined;
  const modelAt = (timestep: number): DiffusionModel => {
    if (!later && isHandedOver(first.schedule, options, timestep, calls)) later = second(calls);
    calls += 1;
    return later ?? first;
  };
  return {
    schedule: first.schedule,
    parameterization: first.parameterization,
    predict: (x, timestep, signal) => modelAt(timestep).predict(x, timestep, signal),
    predictParts:
      first.predictParts &&
      ((x, timestep, signal) => {
        const { predict, predictParts } = modelAt(timestep);
        return predictParts
          ? predictParts(x, timestep, signal)
          : predict(x, timestep, signal).then((guided) => ({ guided, unconditional: guided }));
      }),
  };
}
