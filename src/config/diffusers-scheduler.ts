/** `scheduler_config.json` of a diffusers folder, its part that belongs to the model: the noise schedule and what the UNet predicts. */

import { type DiffusionParams, diffusionParamsSchema } from './latent-diffusion-config.ts';
import { configError, type Mapping, mapping, validated } from './validate.ts';

/** diffusers' names of schedules → LDM's. LDM's `linear` is linear in the square root of beta. */
const schedules: ReadonlyMap<unknown, DiffusionParams['beta_schedule']> = new Map([
  ['scaled_linear', 'linear'],
  ['linear', 'sqrt_linear'],
  ['squaredcos_cap_v2', 'cosine'],
]);

const predictions: ReadonlyMap<unknown, DiffusionParams['parameterization']> = new Map([
  ['epsilon', 'eps'],
  ['sample', 'x0'],
  ['v_prediction', 'v'],
]);

/** Levels of the EDM schedulers (`EDMEulerScheduler`, `EDMDPMSolverMultistepScheduler`), which have a deviation of the data. */
function edmLevels(json: Mapping): DiffusionParams['noise_levels'] {
  const { sigma_data: data, sigma_min: min = 0.002, sigma_max: max = 80 } = json;
  if (typeof data !== 'number') return null;
  return {
    scaling: json['prediction_type'] === 'v_prediction' ? 'VScalingWithEDMcNoise' : 'EDMScaling',
    sigma_min: Number(min),
    sigma_max: Number(max),
    sigma_data: data,
  };
}

/** The fields of DDPM that a scheduler fixes; defaults are those of diffusers' schedulers. Throws `config-invalid`. */
export function schedulerParams(
  document: unknown,
  what: string,
): Pick<
  DiffusionParams,
  | 'timesteps'
  | 'beta_schedule'
  | 'linear_start'
  | 'linear_end'
  | 'given_betas'
  | 'rescale_betas_zero_snr'
  | 'parameterization'
  | 'noise_levels'
> {
  const json: Mapping = mapping(document, what);
  const noise_levels = edmLevels(json);
  const schedule = schedules.get(json['beta_schedule'] ?? 'linear');
  const prediction = predictions.get(json['prediction_type'] ?? 'epsilon');
  if (!schedule)
    throw configError(
      `${what}: beta_schedule ${JSON.stringify(json['beta_schedule'])} is not known; ${[...schedules.keys()].join(', ')} are.`,
    );
  if (!prediction)
    throw configError(
      `${what}: prediction_type ${JSON.stringify(json['prediction_type'])} is not known; ${[...predictions.keys()].join(', ')} are.`,
    );
  const { timesteps, linear_start, linear_end, given_betas, rescale_betas_zero_snr } = validated(
    diffusionParamsSchema,
    {
      timesteps: json['num_train_timesteps'] ?? 1000,
      linear_start: json['beta_start'] ?? 1e-4,
      linear_end: json['beta_end'] ?? 2e-2,
      given_betas: json['trained_betas'] ?? null,
      rescale_betas_zero_snr: json['rescale_betas_zero_snr'] ?? false,
    },
    what,
  );
  return {
    timesteps,
    linear_start,
    linear_end,
    given_betas,
    rescale_betas_zero_snr,
    beta_schedule: schedule,
    parameterization: prediction,
    noise_levels,
  };
}
