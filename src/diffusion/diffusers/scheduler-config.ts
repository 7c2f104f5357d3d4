/**
 * The configuration of a diffusers scheduler (scheduler_config.json of a diffusers folder), its defaults by class, and the noise
 * schedule that it means. After diffusers 0.42.
 */

import { StableDiffusionError } from '../../errors.ts';
import { cumulativeProduct, diffusersBetas, rescaleZeroTerminalSnr } from '../beta-schedule.ts';
import { type NoiseSchedule, noiseSchedule } from '../noise-schedule.ts';
import type { Parameterization } from '../parameterization.ts';
import type { DpmAlgorithm } from '../samplers/dpm-solver-step.ts';
import type { TimestepSpacing } from '../timesteps.ts';

export interface DiffusersSchedulerConfig {
  readonly num_train_timesteps?: number;
  readonly beta_start?: number;
  readonly beta_end?: number;
  readonly beta_schedule?: string;
  readonly trained_betas?: readonly number[] | null;
  readonly prediction_type?: 'epsilon' | 'v_prediction' | 'sample';
  readonly timestep_spacing?: TimestepSpacing;
  readonly steps_offset?: number;
  readonly set_alpha_to_one?: boolean;
  readonly rescale_betas_zero_snr?: boolean;
  readonly clip_sample?: boolean;
  readonly clip_sample_range?: number;
  readonly thresholding?: boolean;
  readonly dynamic_thresholding_ratio?: number;
  readonly sample_max_value?: number;
  readonly variance_type?: string | null;
  readonly skip_prk_steps?: boolean;
  readonly solver_order?: number;
  readonly algorithm_type?: DpmAlgorithm | 'deis';
  readonly solver_type?: string;
  readonly lower_order_final?: boolean;
  readonly euler_at_final?: boolean;
  readonly final_sigmas_type?: 'zero' | 'sigma_min';
  readonly use_karras_sigmas?: boolean;
  readonly use_exponential_sigmas?: boolean;
  readonly use_beta_sigmas?: boolean;
  readonly use_lu_lambdas?: boolean;
  readonly interpolation_type?: 'linear' | 'log_linear';
  readonly sigma_min?: number | null;
  readonly sigma_max?: number | null;
  readonly sigma_data?: number;
  readonly rho?: number;
  readonly lambda_min_clipped?: number | string;
  readonly predict_x0?: boolean;
  readonly disable_corrector?: readonly number[];
  readonly original_inference_steps?: number;
  readonly timestep_scaling?: number;
}

/** Defaults that all classes share; `scaled_linear` with SD's betas is what every SD v1 folder states. */
const shared = {
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: 'linear',
  prediction_type: 'epsilon',
  timestep_spacing: 'linspace',
  steps_offset: 0,
  clip_sample_range: 1,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1,
  solver_order: 2,
  lower_order_final: true,
  final_sigmas_type: 'zero',
} as const satisfies DiffusersSchedulerConfig;

/** A configuration with every default of its class filled in. */
export type WholeSchedulerConfig = DiffusersSchedulerConfig &
  Required<Pick<DiffusersSchedulerConfig, keyof typeof shared>>;

/** The configuration with the defaults of its class where it says nothing. */
export function wholeConfig(
  defaults: DiffusersSchedulerConfig,
  config: DiffusersSchedulerConfig,
): WholeSchedulerConfig {
  const given = Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined && value !== null));
  return { ...shared, ...defaults, ...given };
}

/** The noise schedule of a scheduler, in float32 as diffusers'. `lastAlphaBar`: alphas_cumprod[-1] of a zero-SNR schedule, for classes that divide by it. */
export function diffusersSchedule(config: WholeSchedulerConfig, lastAlphaBar?: number): NoiseSchedule {
  let betas = config.trained_betas
    ? Float32Array.from(config.trained_betas)
    : diffusersBetas(config.beta_schedule, config.num_train_timesteps, config.beta_start, config.beta_end);
  if (config.rescale_betas_zero_snr) betas = rescaleZeroTerminalSnr(betas);
  const alphasCumprod = cumulativeProduct(betas);
  if (config.rescale_betas_zero_snr && lastAlphaBar !== undefined)
    alphasCumprod[alphasCumprod.length - 1] = lastAlphaBar;
  return noiseSchedule(alphasCumprod, Float64Array.from(betas));
}

export function diffusersParameterization(config: Pick<WholeSchedulerConfig, 'prediction_type'>): Parameterization {
  const names = { epsilon: 'eps', v_prediction: 'v', sample: 'x0' } as const;
  const found = names[config.prediction_type];
  if (!found)
    throw new StableDiffusionError(
      'config-invalid',
      `The prediction_type ${JSON.stringify(config.prediction_type)} is not known; epsilon, v_prediction and sample are.`,
    );
  return found;
}
