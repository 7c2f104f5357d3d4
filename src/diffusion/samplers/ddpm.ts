/**
 * DDPM: ancestral sampling of Ho, Jain and Abbeel 2020, "Denoising Diffusion Probabilistic Models" (arXiv 2006.11239), algorithm 2.
 * As LatentDiffusion.p_sample_loop of CompVis (ldm/models/diffusion/ddpm.py) over every trained timestep, and over fewer of them by
 * the posterior between the timesteps visited (Nichol and Dhariwal 2021), as diffusers' DDPMScheduler.
 */

import { throwIfAborted } from '../../errors.ts';
import { linearCombination } from '../../tensor/arithmetic.ts';
import type { DiffusionModel, Latent } from '../denoiser.ts';
import { keepAtTimestep, qSample } from '../inpainting.ts';
import { alphasCumprodOf, type NoiseSchedule } from '../noise-schedule.ts';
import { toX0 } from '../parameterization.ts';
import type { Sampler, Sampling } from '../sampler.ts';
import { spacedTimesteps } from '../timesteps.ts';
import { checkRequest } from './request.ts';
import { type LatentHook, optionsOf, sigmaOf, type TimestepSamplerOptions } from './timestep-sampler.ts';

/** q(x_prev | x_t, x_0) = N(x0Weight x_0 + xWeight x_t, deviation²). */
export interface PosteriorStep {
  readonly timestep: number;
  readonly alphaBar: number;
  readonly x0Weight: number;
  readonly xWeight: number;
  readonly deviation: number;
}

export interface PosteriorOptions {
  /** 0 (default): the posterior's own variance, "fixed small". 1: beta, "fixed large". Between: CompVis's `v_posterior`. */
  readonly vPosterior?: number;
}

/** The posterior of a step between two values of alphas_cumprod. */
export function posteriorStep(
  timestep: number,
  alphaBar: number,
  alphaBarPrev: number,
  options: PosteriorOptions = {},
): PosteriorStep {
  const { vPosterior = 0 } = options;
  const alpha = alphaBar / alphaBarPrev;
  const beta = 1 - alpha;
  const variance = (1 - vPosterior) * ((1 - alphaBarPrev) / (1 - alphaBar)) * beta + vPosterior * beta;
  return {
    timestep,
    alphaBar,
    x0Weight: (Math.sqrt(alphaBarPrev) * beta) / (1 - alphaBar),
    xWeight: (Math.sqrt(alpha) * (1 - alphaBarPrev)) / (1 - alphaBar),
    deviation: Math.sqrt(Math.max(variance, 1e-20)),
  };
}

/** Steps over descending timesteps, down to the clean latent. */
export function posteriorSteps(
  schedule: NoiseSchedule,
  descending: readonly number[],
  options: PosteriorOptions = {},
): PosteriorStep[] {
  const exact = alphasCumprodOf(schedule.betas);
  const at = (t: number | undefined) => (t === undefined ? 1 : (exact[t] as number));
  return descending.map((t, i) => posteriorStep(t, at(t), at(descending[i + 1]), options));
}

export interface DdpmOptions extends TimestepSamplerOptions {
  /** After each step (CompVis blends a masked latent here, DDIM before the step). */
  readonly afterStep?: LatentHook | undefined;
}

/** Runs the steps from x, which is at the first one's noise level. There is no noise at timestep 0. */
export async function* sampleDdpm(
  model: DiffusionModel,
  x: Latent,
  steps: readonly PosteriorStep[],
  options: DdpmOptions,
): Sampling {
  const { temperature = 1, noise, drawUnused, beforeStep, afterStep, reviseX0, signal } = options;
  let latent = x;
  for (const [i, { timestep, alphaBar, x0Weight, xWeight, deviation }] of steps.entries()) {
    throwIfAborted(signal);
    if (beforeStep) latent = await beforeStep(latent, timestep);
    const output = await model.predict(latent, timestep, signal);
    const clean = toX0(model.parameterization, output, latent, alphaBar);
    const x0 = reviseX0 ? await reviseX0(clean, timestep) : clean;
    const draw = timestep > 0 || drawUnused ? noise?.() : undefined;
    latent =
      timestep > 0 && draw
        ? linearCombination([x0Weight, x0], [xWeight, latent], [deviation * temperature, draw])
        : linearCombination([x0Weight, x0], [xWeight, latent]);
    if (afterStep) latent = await afterStep(latent, timestep);
    yield { step: i + 1, steps: steps.length, sigma: sigmaOf(alphaBar), latent, denoised: x0 };
  }
  return latent;
}

/** Settings: `temperature`, `clipDenoised`. With as many steps as there are trained timesteps it is CompVis's; fewer are spaced as diffusers' `leading`. */
export const ddpm: Sampler = {
  name: 'ddpm',
  title: 'DDPM',
  aliases: ['DDPMScheduler', 'ancestral'],
  space: 'timestep',
  quantizes: true,
  usesStepNoise: true,
  run(request) {
    checkRequest(request, true);
    const { model, initial, inpainting, startStep = 0 } = request;
    const { schedule } = model;
    const descending = spacedTimesteps('leading', request.steps, schedule.trainTimesteps);
    const steps = posteriorSteps(schedule, descending, { vPosterior: schedule.vPosterior ?? 0 }).slice(startStep);
    const first = steps[0];
    const x = initial
      ? first
        ? qSample(schedule, initial, first.timestep, request.startNoise)
        : initial
      : request.startNoise;
    const { beforeStep: _, ...options } = optionsOf(request, 'ddpm');
    const noise = options.noise as () => Latent;
    const draw = (shape: readonly number[]): Latent => request.stepNoise?.normal(shape) ?? noise();
    const beforeStep: LatentHook | undefined =
      model.noiseCondition &&
      ((latent, timestep) => {
        model.noiseCondition?.(timestep, draw);
        return latent;
      });
    const afterStep: LatentHook | undefined =
      inpainting && ((latent, timestep) => keepAtTimestep(schedule, inpainting, latent, timestep, noise()));
    return sampleDdpm(model, x, steps, { ...options, beforeStep, afterStep });
  },
};
