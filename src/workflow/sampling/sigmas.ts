/** The sigmas of a run as ComfyUI's KSampler makes them: by a scheduler's name, for a part of the schedule where `denoise` is below 1. */

import { StableDiffusionError } from '../../errors.ts';
import { namedSampling } from '../../diffusion/sampler-names.ts';
import { stableDiffusionSchedule } from '../../diffusion/noise-schedule.ts';
import type { SamplerSettings } from '../../diffusion/sampler.ts';
import { comfyAlignedSteps } from '../../diffusion/sigma-schedules/align-your-steps.ts';
import { sigmaSchedule, type SigmaScheduleName, sigmaSchedules } from '../../diffusion/sigma-schedules/index.ts';
import type { SigmaScheduleOptions } from '../../diffusion/sigma-schedules/sigma-schedule.ts';
import type { SamplerValue } from '../values.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';
import type { ModelSampling } from './model-sampling.ts';

/** The levels of a scheduler. */
export function sigmasOf(sampling: ModelSampling, scheduler: string, steps: number): Float32Array {
  return sigmaSchedule(scheduler)(steps, sampling.schedule);
}

/** As `sigmasOf`, for a sampler: some leave the last level but one out. */
function samplerSigmas(sampling: ModelSampling, sampler: string, scheduler: string, steps: number): Float32Array {
  const { discardNextToLastSigma } = namedSampling(sampler, { peer: 'comfy' });
  if (!discardNextToLastSigma) return sigmasOf(sampling, scheduler, steps);
  const sigmas = sigmasOf(sampling, scheduler, steps + 1);
  return sigmas.filter((_, i) => i !== sigmas.length - 2);
}

/** The levels of KSampler: the last `steps` of a longer schedule where `denoise` is below 1. */
export function kSamplerSigmas(
  sampling: ModelSampling,
  {
    sampler,
    scheduler,
    steps,
    denoise,
  }: {
    readonly sampler: string;
    readonly scheduler: string;
    readonly steps: number;
    readonly denoise: number;
  },
): Float32Array {
  if (denoise > 0.9999) return samplerSigmas(sampling, sampler, scheduler, steps);
  if (denoise <= 0) return new Float32Array();
  return samplerSigmas(sampling, sampler, scheduler, Math.floor(steps / denoise)).slice(-(steps + 1));
}

/** A sampler by ComfyUI's name. Throws `invalid-argument`. */
export function samplerOf(name: string): SamplerValue {
  const { sampler, settings } = namedSampling(name, { peer: 'comfy' });
  if (!sampler.sample)
    throw new StableDiffusionError('invalid-argument', `The sampler ${name} does not work on sigmas that are given.`);
  return {
    sample: sampler.sample,
    settings,
    usesIntervalNoise: sampler.usesIntervalNoise ?? false,
    needsUnconditional: sampler.needsUnconditional ?? false,
    drawsKeptNoise: name === 'ddim',
  };
}

/** A sampler by ComfyUI's name, with settings over its own. */
export function samplerWith(name: string, settings: SamplerSettings): SamplerValue {
  const sampler = samplerOf(name);
  return { ...sampler, settings: { ...sampler.settings, ...settings } };
}

/** A schedule that is a formula and does not depend on a model. */
export const formula = (name: SigmaScheduleName, steps: number, options: SigmaScheduleOptions): Float32Array =>
  sigmaSchedules[name](steps, stableDiffusionSchedule(), options);

/** BasicScheduler: as KSampler's, without regard to the sampler. */
export function basicSigmas(sampling: ModelSampling, scheduler: string, steps: number, denoise: number): Float32Array {
  if (denoise <= 0) return new Float32Array();
  const all = denoise < 1 ? Math.floor(steps / denoise) : steps;
  return sigmasOf(sampling, scheduler, all).slice(-(steps + 1));
}

/** Align Your Steps: the end of the schedule that `denoise` leaves. */
export function alignedSigmas(model: 'SD1' | 'SDXL' | 'SVD', steps: number, denoise: number): Float32Array {
  if (denoise <= 0) return new Float32Array();
  const left = denoise < 1 ? roundHalfEven(steps * denoise) : steps;
  return comfyAlignedSteps(model, steps).slice(-(left + 1));
}
