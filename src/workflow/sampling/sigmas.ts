/** The sigmas of a run as ComfyUI's KSampler makes them: by a scheduler's name, for a part of the schedule where `denoise` is below 1. */

import { StableDiffusionError } from '../../errors.ts';
import { namedSampling } from '../../diffusion/sampler-names.ts';
import { sigmaSchedule } from '../../diffusion/sigma-schedules/index.ts';
import type { SamplerValue } from '../values.ts';
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
