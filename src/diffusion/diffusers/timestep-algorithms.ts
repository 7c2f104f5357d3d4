/** diffusers' schedulers over timesteps, and those of the k-diffusion family: from a configuration to the algorithm in `samplers/`. */

import { StableDiffusionError } from '../../errors.ts';
import { blend, scale } from '../../tensor/arithmetic.ts';
import { denoiser, type DiffusionModel, type Latent } from '../denoiser.ts';
import { keepAtTimestep, keepDenoised } from '../inpainting.ts';
import type { Sampling } from '../sampler.ts';
import { encodeDdim, sampleDdim } from '../samplers/ddim.ts';
import { posteriorStep, sampleDdpm } from '../samplers/ddpm.ts';
import { startAtTime } from '../samplers/dpm-solver.ts';
import { sampleEuler } from '../samplers/euler.ts';
import { lcmTimesteps, sampleLcm } from '../samplers/lcm.ts';
import { pndmPlan, samplePndm } from '../samplers/pndm.ts';
import { sampleLearnedDdpm } from '../samplers/learned-ddpm.ts';
import { type SigmaSampling, startAt } from '../samplers/sigma-sampler.ts';
import { karrasSigmas } from '../sigma-schedules/karras.ts';
import { sampleTcd } from '../samplers/tcd.ts';
import { type DdimStep, spacedTimesteps } from '../timesteps.ts';
import { sampleEulerChurnAfter } from './euler-churn.ts';
import { kSigmaTimes } from './sigma-times.ts';
import { type Job, revision } from './job.ts';

function startAtBar({ request }: Job, alphaBar: number): Latent {
  return startAtTime(request, { timestep: 0, alpha: Math.sqrt(alphaBar), sigma: Math.sqrt(1 - alphaBar) });
}

/** DDIM step from a timestep by the stride of the schedule, independent of the next timestep. */
function ddimStep({ config, model, request }: Job, timestep: number): DdimStep {
  const previous = timestep - Math.floor(config.num_train_timesteps / request.steps);
  const final = config.set_alpha_to_one ? 1 : model.schedule.alphaBarAt(0);
  return {
    timestep,
    alphaBar: model.schedule.alphaBarAt(timestep),
    alphaBarPrev: previous >= 0 ? model.schedule.alphaBarAt(previous) : final,
  };
}

function timestepsOf({ config, request }: Job): number[] {
  const { timesteps } = request.settings ?? {};
  if (timesteps) {
    checkTimesteps(timesteps, config.num_train_timesteps);
    return timesteps.slice(request.startStep ?? 0);
  }
  return spacedTimesteps(config.timestep_spacing, request.steps, config.num_train_timesteps, config.steps_offset).slice(
    request.startStep ?? 0,
  );
}

function checkTimesteps(timesteps: readonly number[], count: number): void {
  if (timesteps.every((t, i) => Number.isInteger(t) && t >= 0 && t < (timesteps[i - 1] ?? count))) return;
  throw new StableDiffusionError(
    'invalid-argument',
    `The timesteps ${timesteps.slice(0, 8).join(', ')}${timesteps.length > 8 ? ', …' : ''} must be whole numbers below ${count} that descend.`,
  );
}

/** The levels of DDIM's steps: a list of timesteps is visited as it is. */
function ddimSteps(job: Job): DdimStep[] {
  const timesteps = timestepsOf(job);
  const { schedule } = job.model;
  if (!job.request.settings?.timesteps) return timesteps.map((timestep) => ddimStep(job, timestep));
  const final = job.config.set_alpha_to_one ? 1 : schedule.alphaBarAt(0);
  return timesteps.map((timestep, i) => {
    const next = timesteps[i + 1];
    const alphaBarPrev = next === undefined ? final : schedule.alphaBarAt(next);
    return { timestep, alphaBar: schedule.alphaBarAt(timestep), alphaBarPrev };
  });
}

export function ddim(job: Job): Sampling {
  const steps = ddimSteps(job);
  const { settings, inpainting, startNoise } = job.request;
  const { eta } = settings ?? {};
  const { schedule } = job.model;
  const options = {
    eta,
    // As StableDiffusionInpaintPipeline with four channels.
    afterStep:
      inpainting &&
      ((x: Latent, next: number | undefined) =>
        next === undefined
          ? blend(inpainting.mask, inpainting.latent, x)
          : keepAtTimestep(schedule, inpainting, x, next, startNoise)),
    noise: job.noise,
    drawUnused: (eta ?? 0) > 0,
    reviseX0: revision(job),
    epsFromRevised: job.options.useClippedModelOutput,
    signal: job.request.signal,
  };
  return sampleDdim(job.model, startAtBar(job, steps[0]?.alphaBar ?? 1), steps, options);
}

/** From the initial latent (or, without one, from `startNoise`) to noise. */
export function ddimInverse(job: Job): Sampling {
  const steps = timestepsOf({ ...job, request: { ...job.request, startStep: 0 } }).map((timestep) => {
    const { alphaBar, alphaBarPrev } = ddimStep(job, timestep);
    return { timestep, alphaBar, alphaBarPrev };
  });
  return encodeDdim(job.model, job.request.initial ?? job.request.startNoise, steps, {
    signal: job.request.signal,
    reviseX0: revision(job),
  });
}

/** The state as it starts and goes on where the kept part stays clean. */
function keptClean({ request: { inpainting } }: Job): ((x: Latent) => Latent) | undefined {
  return inpainting?.rule === 'clean' ? (x) => blend(inpainting.mask, inpainting.latent, x) : undefined;
}

function learnedDdpm(job: Job, timesteps: readonly number[]): Sampling {
  const { schedule } = job.model;
  const steps = timesteps.map((timestep, i) => {
    const [next, alphaBar] = [timesteps[i + 1], schedule.alphaBarAt(timestep)];
    const previous = next === undefined ? 1 : schedule.alphaBarAt(next);
    const beta = 1 - alphaBar / previous;
    const step = posteriorStep(timestep, alphaBar, previous);
    return { ...step, variance: ((1 - previous) / (1 - alphaBar)) * beta, beta };
  });
  const keep = keptClean(job);
  const x = startAtBar(job, steps[0]?.alphaBar ?? 1);
  return sampleLearnedDdpm(job.model, keep ? keep(x) : x, steps, {
    noise: job.noise,
    reviseX0: revision(job),
    afterStep: keep,
    learned: job.config.variance_type === 'learned' ? 'variance' : 'range',
    signal: job.request.signal,
  });
}

export function ddpm(job: Job): Sampling {
  const { schedule } = job.model;
  const timesteps = timestepsOf(job);
  if (job.config.variance_type?.startsWith('learned')) return learnedDdpm(job, timesteps);
  const vPosterior = job.config.variance_type?.startsWith('fixed_large') ? 1 : 0;
  const steps = timesteps.map((timestep, i) => {
    const next = timesteps[i + 1];
    return posteriorStep(timestep, schedule.alphaBarAt(timestep), next === undefined ? 1 : schedule.alphaBarAt(next), {
      vPosterior,
    });
  });
  const keep = keptClean(job);
  const x = startAtBar(job, steps[0]?.alphaBar ?? 1);
  return sampleDdpm(job.model, keep ? keep(x) : x, steps, {
    afterStep: keep,
    noise: job.noise,
    reviseX0: revision(job),
    signal: job.request.signal,
  });
}

/**
 * An initial image cuts the calls of the whole schedule, as there. The cut part begins with PLMS: diffusers counts Runge-Kutta's calls from the
 * cut, and takes their timesteps from the start of the schedule.
 */
export function pndm(job: Job): Sampling {
  const { config, model, request } = job;
  const { startStep = 0, steps } = request;
  const plan = pndmPlan(
    timestepsOf({ ...job, request: { ...request, startStep: 0 } }).reverse(),
    config.num_train_timesteps,
    config.set_alpha_to_one ? 1 : model.schedule.alphaBarAt(0),
    (config.skip_prk_steps ?? false) || startStep > 0,
  );
  const calls = startStep === steps ? [] : plan.calls.slice(startStep);
  const [first] = calls;
  return samplePndm(
    model,
    startAtBar(job, first ? model.schedule.alphaBarAt(first.timestep) : 1),
    { ...plan, calls },
    request.signal,
  );
}

/** The k-diffusion family: in the variance-exploding space, with the schedule's own timesteps. */
export function sigmaSpace(sample: SigmaSampling, roundKarras = false): (job: Job) => Sampling {
  return (job) => {
    const { config, request } = job;
    // The denoiser handles inpainting here, so use the model without it.
    const own: DiffusionModel = {
      ...job.model,
      predict: (x, timestep, signal) => request.model.predict(x, timestep, signal),
    };
    const { sigmas, timesteps } = kSigmaTimes(config, own.schedule, request.steps, { roundKarras });
    const kept = sigmas.slice(request.startStep ?? 0);
    const plain = denoiser(own, {
      timestepOf: new Map(timesteps.map((timestep, i) => [sigmas[i] as number, timestep])),
    });
    const denoise = request.inpainting
      ? keepDenoised(plain, request.inpainting, request.startNoise, { firstAsItIs: !request.initial })
      : plain;
    const first = kept[0] as number;
    // `leading` begins below the highest level; the start then has the variance that x_0 + sigma noise would have.
    const x =
      !request.initial && config.timestep_spacing === 'leading'
        ? scale(request.startNoise, Math.sqrt(first * first + 1))
        : startAt(request, first);
    return sample(denoise, x, kept, { ...request.settings, noise: job.noise, signal: request.signal });
  };
}

export function euler(job: Job): Sampling {
  const { parameterization } = job.model;
  return sigmaSpace((denoise, x, sigmas, options) =>
    options.sChurn
      ? sampleEulerChurnAfter(denoise, x, sigmas, { ...options, parameterization })
      : sampleEuler(denoise, x, sigmas, options),
  )(job);
}

/** EDM's Euler: Karras's levels, and a start of noise times sqrt(1 + sigma²) (`EDMEulerScheduler`). */
export function edmEuler({ config, model, request, noise }: Job): Sampling {
  const { sigma_min: min, sigma_max: max, rho } = config;
  const all = karrasSigmas(request.steps, min ?? 0.002, max ?? 80, rho);
  const sigmas = all.slice(request.startStep ?? 0);
  const first = sigmas[0] as number;
  const x = request.initial ? startAt(request, first) : scale(request.startNoise, Math.sqrt(first * first + 1));
  return sampleEuler(denoiser(model), x, sigmas, { ...request.settings, noise, signal: request.signal });
}

function consistencyTimesteps({ config, request }: Job): number[] {
  return lcmTimesteps(request.steps, config.num_train_timesteps, config.original_inference_steps).slice(
    request.startStep ?? 0,
  );
}

export function lcm(job: Job): Sampling {
  const timesteps = consistencyTimesteps(job);
  const { noise, model, config, request } = job;
  const x = startAtBar(job, model.schedule.alphaBarAt(timesteps[0] ?? 0));
  return sampleLcm(model, x, timesteps, {
    noise,
    reviseX0: revision(job),
    timestepScaling: config.timestep_scaling ?? 10,
    signal: request.signal,
  });
}

export function tcd(job: Job): Sampling {
  const timesteps = consistencyTimesteps(job);
  const x = startAtBar(job, job.model.schedule.alphaBarAt(timesteps[0] ?? 0));
  return sampleTcd(job.model, x, timesteps, {
    noise: job.noise,
    eta: job.request.settings?.eta ?? 0.3,
    signal: job.request.signal,
  });
}
