/**
 * Conditions that are noised themselves: latent-diffusion's `num_timesteps_cond`. Ancestral sampling noises the condition before each step, the one that
 * the step before left, at a timestep of its own (`make_cond_schedule`, `shorten_cond_schedule`).
 */

import type { DiffusionModel, Latent } from './denoiser.ts';
import { qSample } from './inpainting.ts';
import type { NoiseSchedule } from './noise-schedule.ts';
import { roundHalfToEven } from './timesteps.ts';

/** The condition's timestep for each of T: the first `count` are spread over all, the others are the last. */
export function conditionTimesteps(trainTimesteps: number, count: number): readonly number[] {
  const last = trainTimesteps - 1;
  return Array.from({ length: trainTimesteps }, (_, i) =>
    i < count ? roundHalfToEven(count === 1 ? 0 : (i * last) / (count - 1)) : last,
  );
}

/** `make` gives the model for a condition. */
export function withNoisedCondition(
  make: (condition: Latent) => DiffusionModel,
  condition: Latent,
  schedule: NoiseSchedule,
  count: number,
): DiffusionModel {
  const timesteps = conditionTimesteps(schedule.trainTimesteps, count);
  let current = condition;
  const { parameterization } = make(condition);
  return {
    schedule,
    parameterization,
    predict: (x, timestep, signal) => make(current).predict(x, timestep, signal),
    noiseCondition(timestep, draw) {
      current = qSample(schedule, current, timesteps[timestep] ?? schedule.trainTimesteps - 1, draw(current.shape));
    },
  };
}
