/**
 * The scheduler classes of diffusers that have a sampler here: for each its defaults (diffusers 0.42), its algorithm and what a caller must
 * know of it. A further class is a row.
 */

import { sampleDpm2 } from '../samplers/dpm2.ts';
import { sampleDpm2Ancestral } from '../samplers/dpm2-ancestral.ts';
import { sampleEulerAncestral } from '../samplers/euler-ancestral.ts';
import { sampleHeun } from '../samplers/heun.ts';
import { sampleLms } from '../samplers/lms.ts';
import type { Sampling } from '../sampler.ts';
import type { Job } from './job.ts';
import type { DiffusersSchedulerConfig } from './scheduler-config.ts';
import { deis, dpmMultistep, dpmMultistepInverse, dpmSinglestep, uniPc } from './solver-algorithms.ts';
import { ddim, ddimInverse, ddpm, edmEuler, euler, lcm, pndm, sigmaSpace, tcd } from './timestep-algorithms.ts';

export interface SchedulerClass {
  readonly run: (job: Job) => Sampling;
  /** Where its latents live. Default `timestep`. */
  readonly space?: 'timestep' | 'sigma';
  /** Whether its steps draw noise. Default: where `algorithm_type` is one of the stochastic ones. */
  readonly usesStepNoise?: boolean;
  /** alphas_cumprod[-1] of a zero-SNR schedule, where it divides by it. */
  readonly lastAlphaBar?: number;
  /** It restores the kept part of inpainting itself. Default: the model's prediction does. */
  readonly keepsItself?: boolean;
  /** It leaves the kept part of inpainting clean where the request says so. Default false. */
  readonly keepsClean?: boolean;
  /** It reads the setting `timesteps`. Default false. */
  readonly takesTimesteps?: boolean;
  readonly defaults: DiffusersSchedulerConfig;
  /** Its noise levels are EDM's, and the model says the clean latent. Default false. */
  readonly isContinuous?: boolean;
}

const distilled: DiffusersSchedulerConfig = {
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  timestep_spacing: 'leading',
  set_alpha_to_one: true,
  original_inference_steps: 50,
  timestep_scaling: 10,
};
const sdRange: DiffusersSchedulerConfig = { beta_start: 0.00085, beta_end: 0.012 };
const ddimDefaults: DiffusersSchedulerConfig = {
  timestep_spacing: 'leading',
  clip_sample: true,
  set_alpha_to_one: true,
};
const dpmDefaults: DiffusersSchedulerConfig = { algorithm_type: 'dpmsolver++', solver_type: 'midpoint' };
const lastAlphaBar = 2 ** -24;

const classes = {
  DDIMScheduler: { run: ddim, keepsItself: true, takesTimesteps: true, defaults: ddimDefaults },
  DDIMInverseScheduler: { run: ddimInverse, defaults: ddimDefaults },
  DDPMScheduler: {
    run: ddpm,
    usesStepNoise: true,
    keepsClean: true,
    takesTimesteps: true,
    defaults: { timestep_spacing: 'leading', clip_sample: true, variance_type: 'fixed_small' },
  },
  PNDMScheduler: {
    run: pndm,
    defaults: { timestep_spacing: 'leading', skip_prk_steps: false, set_alpha_to_one: false },
  },
  LMSDiscreteScheduler: { run: sigmaSpace(sampleLms), space: 'sigma', defaults: {} },
  EulerDiscreteScheduler: { run: euler, space: 'sigma', lastAlphaBar, defaults: { interpolation_type: 'linear' } },
  EDMEulerScheduler: {
    run: edmEuler,
    space: 'sigma',
    isContinuous: true,
    defaults: { sigma_min: 0.002, sigma_max: 80, sigma_data: 0.5, rho: 7 },
  },
  EulerAncestralDiscreteScheduler: {
    run: sigmaSpace(sampleEulerAncestral),
    space: 'sigma',
    usesStepNoise: true,
    lastAlphaBar,
    defaults: {},
  },
  HeunDiscreteScheduler: { run: sigmaSpace(sampleHeun), space: 'sigma', defaults: sdRange },
  KDPM2DiscreteScheduler: { run: sigmaSpace(sampleDpm2, true), space: 'sigma', defaults: sdRange },
  KDPM2AncestralDiscreteScheduler: {
    run: sigmaSpace(sampleDpm2Ancestral, true),
    space: 'sigma',
    usesStepNoise: true,
    defaults: sdRange,
  },
  DPMSolverMultistepScheduler: { run: dpmMultistep, lastAlphaBar, defaults: dpmDefaults },
  DPMSolverMultistepInverseScheduler: { run: dpmMultistepInverse, lastAlphaBar, defaults: dpmDefaults },
  DPMSolverSinglestepScheduler: {
    run: dpmSinglestep,
    lastAlphaBar,
    defaults: { ...dpmDefaults, lower_order_final: false },
  },
  UniPCMultistepScheduler: { run: uniPc, lastAlphaBar, defaults: { solver_type: 'bh2', predict_x0: true } },
  DEISMultistepScheduler: { run: deis, defaults: { algorithm_type: 'deis' } },
  LCMScheduler: { run: lcm, usesStepNoise: true, defaults: distilled },
  TCDScheduler: { run: tcd, usesStepNoise: true, defaults: distilled },
} as const satisfies Readonly<Record<string, SchedulerClass>>;

export type DiffusersSchedulerClass = keyof typeof classes;

export const schedulerClasses: Readonly<Record<DiffusersSchedulerClass, SchedulerClass>> = classes;

export const diffusersSchedulerClasses = Object.keys(classes) as readonly DiffusersSchedulerClass[];
