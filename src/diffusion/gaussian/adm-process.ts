/** The diffusion process and the loss that guided-diffusion's flags mean (`create_gaussian_diffusion`). */

import type { AdmFlags } from '../../config/adm-flags.ts';
import { type GaussianProcess, gaussianProcess } from './gaussian-process.ts';

export function admProcess(flags: AdmFlags): GaussianProcess {
  return gaussianProcess({
    timesteps: flags.diffusion_steps,
    schedule: flags.noise_schedule,
    respacing: flags.timestep_respacing,
    rescaleTimesteps: flags.rescale_timesteps,
    mean: flags.predict_xstart ? 'start_x' : 'epsilon',
    variance: flags.learn_sigma ? 'learned_range' : flags.sigma_small ? 'fixed_small' : 'fixed_large',
  });
}

/** A bound alone, or an error plus the bound of learned variances. */
export const admLossType = (flags: AdmFlags): 'mse' | 'rescaled_mse' | 'rescaled_kl' =>
  flags.use_kl ? 'rescaled_kl' : flags.rescale_learned_sigmas ? 'rescaled_mse' : 'mse';
