/**
 * diffusers' schedulers as samplers: a scheduler_config.json in, the algorithm it names over the timesteps and noise levels it means.
 *
 * The algorithms are those of `samplers/`; only the spacings, the ends and the defaults are specific to diffusers.
 */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { continuousSchedule } from '../continuous-levels.ts';
import type { DiffusionModel } from '../denoiser.ts';
import { keepAtEnd, keepPredicted } from '../inpainting.ts';
import type { NoiseSchedule } from '../noise-schedule.ts';
import type { Sampler } from '../sampler.ts';
import { checkRequest, stepNoiseOf } from '../samplers/request.ts';
import type { DiffusersSamplerOptions } from './job.ts';
import { type DiffusersSchedulerClass, diffusersSchedulerClasses, schedulerClasses } from './scheduler-classes.ts';
import {
  type DiffusersSchedulerConfig,
  diffusersParameterization,
  diffusersSchedule,
  wholeConfig,
} from './scheduler-config.ts';

function edmSchedule({
  sigma_min: min,
  sigma_max: max,
  sigma_data: data = 0.5,
}: DiffusersSchedulerConfig): NoiseSchedule {
  return continuousSchedule({ scaling: 'EDMScaling', sigma_min: min ?? 0.002, sigma_max: max ?? 80, sigma_data: data });
}

/** What a class and a configuration mean. Throws `config-invalid` for an unknown class or value. */
export function schedulerOf(className: string, given: DiffusersSchedulerConfig = {}) {
  if (!Object.hasOwn(schedulerClasses, className))
    throw new StableDiffusionError(
      'config-invalid',
      `The diffusers scheduler ${JSON.stringify(className)} is not supported; the supported ones are ${diffusersSchedulerClasses.join(', ')}.`,
    );
  const row = schedulerClasses[className as DiffusersSchedulerClass];
  const config = wholeConfig(row.defaults, given);
  return {
    row,
    config,
    schedule: row.isContinuous ? edmSchedule(config) : diffusersSchedule(config, row.lastAlphaBar),
    parameterization: row.isContinuous ? ('x0' as const) : diffusersParameterization(config),
  };
}

/**
 * The sampler of a diffusers scheduler. The noise schedule and the prediction type are the configuration's, not the request's model's;
 * a request's `schedule` is not read. Throws `config-invalid` for an unknown class or value.
 */
export function diffusersSampler(
  className: string,
  given: DiffusersSchedulerConfig = {},
  options: DiffusersSamplerOptions = {},
): Sampler {
  const { row, config, schedule, parameterization } = schedulerOf(className, given);
  const usesStepNoise = row.usesStepNoise ?? config.algorithm_type?.startsWith('sde') ?? false;
  return {
    name: className,
    title: className,
    aliases: [],
    space: row.space ?? 'timestep',
    usesStepNoise,
    takesTimesteps: row.takesTimesteps,
    run(request) {
      checkRequest(request, usesStepNoise && request.settings?.eta !== 0);
      throwIfAborted(request.signal);
      const own: DiffusionModel = {
        schedule,
        parameterization,
        predict: (x, timestep, signal) => request.model.predict(x, timestep, signal),
        predictLearned: request.model.predictLearned,
      };
      // A class that restores the kept part itself is given the model as it is.
      const keepsItself = row.keepsItself || (row.keepsClean && request.inpainting?.rule === 'clean');
      const kept = keepsItself ? undefined : request.inpainting;
      const model = kept ? keepPredicted(own, kept, request.startNoise, { firstAsItIs: !request.initial }) : own;
      const draw = stepNoiseOf(request, className);
      const sampling = row.run({ config, request, model, noise: () => draw(0, 0), options });
      return kept ? keepAtEnd(sampling, kept) : sampling;
    },
  };
}
