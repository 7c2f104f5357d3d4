/**
 * diffusers' schedulers as samplers: a scheduler_config.json in, the algorithm it names over the timesteps and noise levels it means.
 *
 * The algorithms are those of `samplers/`; what is diffusers' own are the spacings, the ends, and the defaults.
 */

import { throwIfAborted } from '../../errors.ts';
import { clamp, scale } from '../../tensor/arithmetic.ts';
import { denoiser, type DiffusionModel, type Latent } from '../denoiser.ts';
import { keepDenoised, keepPredicted } from '../inpainting.ts';
import type { Sampler, Sampling, SamplingRequest } from '../sampler.ts';
import { encodeDdim, sampleDdim } from '../samplers/ddim.ts';
import { posteriorStep, sampleDdpm } from '../samplers/ddpm.ts';
import { sampleDeis } from '../samplers/deis.ts';
import { type DpmSolverOptions, sampleDpmMultistep, sampleDpmSinglestep, startAtTime } from '../samplers/dpm-solver.ts';
import { sampleDpm2 } from '../samplers/dpm2.ts';
import { sampleDpm2Ancestral } from '../samplers/dpm2-ancestral.ts';
import { sampleEuler } from '../samplers/euler.ts';
import { sampleEulerAncestral } from '../samplers/euler-ancestral.ts';
import { sampleHeun } from '../samplers/heun.ts';
import { lcmTimesteps, sampleLcm } from '../samplers/lcm.ts';
import { sampleLms } from '../samplers/lms.ts';
import { pndmPlan, samplePndm } from '../samplers/pndm.ts';
import { checkRequest, stepNoiseOf } from '../samplers/request.ts';
import { type SigmaSampling, startAt } from '../samplers/sigma-sampler.ts';
import { sampleTcd } from '../samplers/tcd.ts';
import { sampleUniPc } from '../samplers/unipc.ts';
import { evaluateModel, type SolverTime, timeOfSigma } from '../solver-time.ts';
import { dynamicThreshold } from '../thresholding.ts';
import { type DdimStep, spacedTimesteps } from '../timesteps.ts';
import { sampleEulerChurnAfter } from './euler-churn.ts';
import {
  type DiffusersSchedulerClass,
  type DiffusersSchedulerConfig,
  diffusersParameterization,
  diffusersSchedule,
  type WholeSchedulerConfig,
  wholeConfig,
} from './scheduler-config.ts';
import { inverseSigmaTimes, kSigmaTimes, type SigmaTimes, type SolverEnd, solverSigmaTimes } from './sigma-times.ts';

/** What a class's sampling gets: the request, with the model that the configuration means and inpainting already in it. */
interface Job {
  readonly className: DiffusersSchedulerClass;
  readonly config: WholeSchedulerConfig;
  readonly request: SamplingRequest;
  readonly model: DiffusionModel;
  readonly noise: () => Latent;
  readonly options: DiffusersSamplerOptions;
}

export interface DiffusersSamplerOptions {
  /** DDIM's `use_clipped_model_output`. */
  readonly useClippedModelOutput?: boolean;
}

/** Clipping or thresholding of the clean latent, where the configuration wants it. */
function revision({ config }: Job): ((x0: Latent) => Latent) | undefined {
  if (config.thresholding)
    return (x0) => dynamicThreshold(x0, config.dynamic_thresholding_ratio, config.sample_max_value);
  if (config.clip_sample) return (x0) => clamp(x0, -config.clip_sample_range, config.clip_sample_range);
  return undefined;
}

function startAtBar({ request }: Job, alphaBar: number): Latent {
  return startAtTime(request, { timestep: 0, alpha: Math.sqrt(alphaBar), sigma: Math.sqrt(1 - alphaBar) });
}

/** Step of DDIM from a timestep by the stride of the schedule, whatever the next timestep is. */
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
  return spacedTimesteps(config.timestep_spacing, request.steps, config.num_train_timesteps, config.steps_offset).slice(
    request.startStep ?? 0,
  );
}

function ddim(job: Job): Sampling {
  const steps = timestepsOf(job).map((timestep) => ddimStep(job, timestep));
  const { eta } = job.request.settings ?? {};
  const options = {
    eta,
    noise: job.noise,
    drawUnused: (eta ?? 0) > 0,
    reviseX0: revision(job),
    epsFromRevised: job.options.useClippedModelOutput,
    signal: job.request.signal,
  };
  return sampleDdim(job.model, startAtBar(job, steps[0]?.alphaBar ?? 1), steps, options);
}

/** From the initial latent (or, without one, from `startNoise` taken as such) to noise. */
function ddimInverse(job: Job): Sampling {
  const steps = timestepsOf({ ...job, request: { ...job.request, startStep: 0 } }).map((timestep) => {
    const { alphaBar, alphaBarPrev } = ddimStep(job, timestep);
    return { timestep, alphaBar, alphaBarPrev };
  });
  return encodeDdim(job.model, job.request.initial ?? job.request.startNoise, steps, {
    signal: job.request.signal,
    reviseX0: revision(job),
  });
}

function ddpm(job: Job): Sampling {
  const { schedule } = job.model;
  const timesteps = timestepsOf(job);
  const vPosterior = job.config.variance_type?.startsWith('fixed_large') ? 1 : 0;
  const steps = timesteps.map((timestep, i) => {
    const next = timesteps[i + 1];
    return posteriorStep(timestep, schedule.alphaBarAt(timestep), next === undefined ? 1 : schedule.alphaBarAt(next), {
      vPosterior,
    });
  });
  return sampleDdpm(job.model, startAtBar(job, steps[0]?.alphaBar ?? 1), steps, {
    noise: job.noise,
    reviseX0: revision(job),
    signal: job.request.signal,
  });
}

function pndm(job: Job): Sampling {
  const { config, model, request } = job;
  const plan = pndmPlan(
    timestepsOf(job).reverse(),
    config.num_train_timesteps,
    config.set_alpha_to_one ? 1 : model.schedule.alphaBarAt(0),
    config.skip_prk_steps ?? false,
  );
  return samplePndm(
    model,
    startAtBar(job, model.schedule.alphaBarAt(plan.calls[0]?.timestep ?? 0)),
    plan,
    request.signal,
  );
}

/** The k-diffusion family: in the variance-exploding space, told the schedule's own timesteps. */
function sigmaSpace(sample: SigmaSampling, roundKarras = false): (job: Job) => Sampling {
  return (job) => {
    const { config, request } = job;
    // Inpainting is the denoiser's here, so that the model without it is wanted.
    const own: DiffusionModel = {
      ...job.model,
      predict: (x, timestep, signal) => request.model.predict(x, timestep, signal),
    };
    const { sigmas, timesteps } = kSigmaTimes(config, own.schedule, request.steps, { roundKarras });
    const kept = sigmas.slice(request.startStep ?? 0);
    const plain = denoiser(own, {
      timestepOf: new Map(timesteps.map((timestep, i) => [sigmas[i] as number, timestep])),
    });
    const denoise = request.inpainting ? keepDenoised(plain, request.inpainting, request.startNoise) : plain;
    const first = kept[0] as number;
    // `leading` begins below the highest level; the start then has the variance that x_0 + sigma noise would have.
    const x =
      !request.initial && config.timestep_spacing === 'leading'
        ? scale(request.startNoise, Math.sqrt(first * first + 1))
        : startAt(request, first);
    return sample(denoise, x, kept, { ...request.settings, noise: job.noise, signal: request.signal });
  };
}

function euler(job: Job): Sampling {
  const { parameterization } = job.model;
  return sigmaSpace((denoise, x, sigmas, options) =>
    options.sChurn
      ? sampleEulerChurnAfter(denoise, x, sigmas, { ...options, parameterization })
      : sampleEuler(denoise, x, sigmas, options),
  )(job);
}

function solverTimes({ sigmas, timesteps }: SigmaTimes): SolverTime[] {
  return Array.from(sigmas, (sigma, i) => timeOfSigma(sigma, timesteps[i] ?? 0));
}

function solverStart(job: Job, end: SolverEnd) {
  const { config, model, request } = job;
  const times = solverTimes(solverSigmaTimes(config, model.schedule, request.steps, end)).slice(request.startStep ?? 0);
  const evaluate = evaluateModel(model, {
    reviseX0: config.thresholding ? revision(job) : undefined,
    signal: request.signal,
  });
  return { times, evaluate, x: startAtTime(request, times[0] as SolverTime) };
}

function dpmOptions({ config, request, noise }: Job): DpmSolverOptions {
  const algorithm =
    config.algorithm_type === undefined || config.algorithm_type === 'deis' ? 'dpmsolver++' : config.algorithm_type;
  return {
    algorithm,
    order: config.solver_order,
    solverType: config.solver_type === 'heun' ? 'heun' : 'midpoint',
    lowerOrderFinal: config.lower_order_final,
    firstOrderFinal: (config.euler_at_final ?? false) || config.final_sigmas_type === 'zero',
    noise,
    signal: request.signal,
  };
}

function dpmMultistep(job: Job): Sampling {
  const { times, evaluate, x } = solverStart(job, job.config.final_sigmas_type);
  return sampleDpmMultistep(evaluate, x, times, dpmOptions(job));
}

function dpmMultistepInverse(job: Job): Sampling {
  const { config, model, request } = job;
  const times = solverTimes(inverseSigmaTimes(config, model.schedule, request.steps));
  const evaluate = evaluateModel(model, {
    reviseX0: config.thresholding ? revision(job) : undefined,
    signal: request.signal,
  });
  return sampleDpmMultistep(evaluate, request.initial ?? request.startNoise, times, {
    ...dpmOptions(job),
    firstOrderFinal: config.euler_at_final ?? false,
  });
}

/** Calls in each block, as get_order_list has them. */
function singlestepBlocks(config: WholeSchedulerConfig, steps: number): number[] {
  const order = config.solver_order;
  const zero = config.final_sigmas_type === 'zero';
  const lower = config.lower_order_final || zero || steps % order !== 0;
  const whole = Math.floor(steps / order);
  const rest = steps % order;
  let blocks: number[] = new Array(whole).fill(order);
  if (rest > 0) blocks.push(rest);
  else if (lower && order > 1) blocks = [...blocks.slice(0, -1), ...(order === 3 ? [2, 1] : [1, 1])];
  // A last step to zero noise is of order 1.
  const last = blocks.at(-1) as number;
  if (zero && last > 1) blocks = [...blocks.slice(0, -1), last - 1, 1];
  return blocks;
}

function dpmSinglestep(job: Job): Sampling {
  const { config, request } = job;
  const { times, evaluate, x } = solverStart(
    { ...job, config: { ...config, timestep_spacing: 'linspace' } },
    config.final_sigmas_type,
  );
  return sampleDpmSinglestep(
    evaluate,
    x,
    times,
    singlestepBlocks(config, request.steps - (request.startStep ?? 0)),
    dpmOptions(job),
  );
}

function uniPc(job: Job): Sampling {
  const { config, request } = job;
  const { times, evaluate, x } = solverStart(job, config.final_sigmas_type === 'zero' ? 'zero' : 'repeat');
  return sampleUniPc(evaluate, x, times, {
    order: config.solver_order,
    variant: config.solver_type === 'bh1' ? 'bh1' : 'bh2',
    predictX0: config.predict_x0 ?? true,
    lowerOrderFinal: config.lower_order_final,
    uncorrectedSteps: config.disable_corrector ?? [],
    signal: request.signal,
  });
}

function deis(job: Job): Sampling {
  const { times, evaluate, x } = solverStart(job, 'repeat');
  return sampleDeis(evaluate, x, times, {
    order: job.config.solver_order,
    lowerOrderFinal: job.config.lower_order_final,
    signal: job.request.signal,
  });
}

function consistencyTimesteps({ config, request }: Job): number[] {
  return lcmTimesteps(request.steps, config.num_train_timesteps, config.original_inference_steps).slice(
    request.startStep ?? 0,
  );
}

function lcm(job: Job): Sampling {
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

function tcd(job: Job): Sampling {
  const timesteps = consistencyTimesteps(job);
  const x = startAtBar(job, job.model.schedule.alphaBarAt(timesteps[0] ?? 0));
  return sampleTcd(job.model, x, timesteps, {
    noise: job.noise,
    eta: job.request.settings?.eta ?? 0.3,
    signal: job.request.signal,
  });
}

const algorithms: { readonly [C in DiffusersSchedulerClass]: (job: Job) => Sampling } = {
  DDIMScheduler: ddim,
  DDIMInverseScheduler: ddimInverse,
  DDPMScheduler: ddpm,
  PNDMScheduler: pndm,
  LMSDiscreteScheduler: sigmaSpace(sampleLms),
  EulerDiscreteScheduler: euler,
  EulerAncestralDiscreteScheduler: sigmaSpace(sampleEulerAncestral),
  HeunDiscreteScheduler: sigmaSpace(sampleHeun),
  KDPM2DiscreteScheduler: sigmaSpace(sampleDpm2, true),
  KDPM2AncestralDiscreteScheduler: sigmaSpace(sampleDpm2Ancestral, true),
  DPMSolverMultistepScheduler: dpmMultistep,
  DPMSolverMultistepInverseScheduler: dpmMultistepInverse,
  DPMSolverSinglestepScheduler: dpmSinglestep,
  UniPCMultistepScheduler: uniPc,
  DEISMultistepScheduler: deis,
  LCMScheduler: lcm,
  TCDScheduler: tcd,
};

function usesStepNoise(className: DiffusersSchedulerClass, config: WholeSchedulerConfig): boolean {
  return (
    /^(DDPM|EulerAncestral|KDPM2Ancestral|LCM|TCD)/.test(className) ||
    (config.algorithm_type?.startsWith('sde') ?? false)
  );
}

/**
 * The sampler of a diffusers scheduler. The noise schedule and the prediction type are the configuration's, not the request's model's;
 * a request's `schedule` is not read. Throws `config-invalid` for a class or a value that is not known.
 */
export function diffusersSampler(
  className: string,
  given: DiffusersSchedulerConfig = {},
  options: DiffusersSamplerOptions = {},
): Sampler {
  const config = wholeConfig(className, given);
  const known = className as DiffusersSchedulerClass;
  const schedule = diffusersSchedule(className, config);
  const parameterization = diffusersParameterization(config);
  return {
    name: className,
    title: className,
    aliases: [],
    space: algorithmsInSigma.has(known) ? 'sigma' : 'timestep',
    usesStepNoise: usesStepNoise(known, config),
    run(request) {
      checkRequest(request, usesStepNoise(known, config) && request.settings?.eta !== 0);
      throwIfAborted(request.signal);
      const own: DiffusionModel = {
        schedule,
        parameterization,
        predict: (x, timestep, signal) => request.model.predict(x, timestep, signal),
      };
      const model = request.inpainting ? keepPredicted(own, request.inpainting, request.startNoise) : own;
      const draw = stepNoiseOf(request, className);
      return algorithms[known]({ className: known, config, request, model, noise: () => draw(0, 0), options });
    },
  };
}

const algorithmsInSigma: ReadonlySet<DiffusersSchedulerClass> = new Set([
  'LMSDiscreteScheduler',
  'EulerDiscreteScheduler',
  'EulerAncestralDiscreteScheduler',
  'HeunDiscreteScheduler',
  'KDPM2DiscreteScheduler',
  'KDPM2AncestralDiscreteScheduler',
]);
