/**
 * The configuration of a whole latent diffusion model: `ldm.models.diffusion.ddpm.LatentDiffusion` (names and defaults of DDPM and
 * LatentDiffusion's constructors) over the configurations of its three networks.
 */

import * as z from 'zod';
import type { ComposedConfig } from './composed-conditioner.ts';
import type { ImageConditionConfig } from './image-condition.ts';
import type { ConditionNetworkConfig, DenoiserConfig, FirstStageConfig } from './network-config.ts';

/** The encoder of a condition to inputs of the UNet. */
export type CondStageConfig = ConditionNetworkConfig | ComposedConfig;

export const conditioningKeys = ['concat', 'crossattn', 'hybrid', 'adm', 'hybrid-adm', 'crossattn-adm'] as const;
/** How the UNet receives its condition: extra input channels, cross attention, both, class labels or a vector, and these together; null for none. */
export type ConditioningKey = (typeof conditioningKeys)[number] | null;

/** The parameters of DDPM and LatentDiffusion that are numbers and words. */
export const diffusionParamsSchema = z.object({
  timesteps: z.int().positive().max(1_000_000).default(1000),
  beta_schedule: z.enum(['linear', 'cosine', 'sqrt_linear', 'sqrt']).default('linear'),
  linear_start: z.number().nonnegative().default(1e-4),
  linear_end: z.number().nonnegative().default(2e-2),
  cosine_s: z.number().default(8e-3),
  given_betas: z.array(z.number().min(0).max(1)).min(1).max(1_000_000).readonly().nullable().default(null),
  /** Betas rescaled so that the last timestep has no signal (diffusers' name; Lin et al. 2023, arXiv 2305.08891). */
  rescale_betas_zero_snr: z.boolean().default(false),
  /** The UNet's prediction: noise, clean latent or velocity. */
  parameterization: z.enum(['eps', 'x0', 'v']).default('eps'),
  /** EDM's continuous noise levels in place of DDPM's (Playground v2.5, CosXL): sgm's scaling, the ends, the deviation of the data. */
  noise_levels: z
    .strictObject({
      scaling: z.enum(['EDMScaling', 'VScalingWithEDMcNoise']),
      sigma_min: z.number().positive(),
      sigma_max: z.number().positive(),
      sigma_data: z.number().positive(),
    })
    .readonly()
    .nullable()
    .default(null),
  /** The network receives sigma itself, not its index in the table (sgm's `quantize_c_noise: false`). */
  time_is_sigma: z.boolean().default(false),
  /** Mean and deviation of each channel of the autoencoder's latents, taken out before scaling. */
  latent_mean: z.array(z.number()).min(1).max(1024).readonly().nullable().default(null),
  latent_std: z.array(z.number().positive()).min(1).max(1024).readonly().nullable().default(null),
  /** Latents are multiplied by this after encoding. */
  scale_factor: z.number().default(1),
  scale_by_std: z.boolean().default(false),
  /** Side of the latent the model was trained on. */
  image_size: z.union([z.int().positive(), z.array(z.int().positive()).min(1).max(2).readonly()]).default(256),
  /** Channels of the latent. */
  channels: z.int().positive().default(3),
  first_stage_key: z.string().default('image'),
  cond_stage_key: z.string().default('image'),
  cond_stage_trainable: z.boolean().default(false),
  num_timesteps_cond: z.int().positive().default(1),
  loss_type: z.enum(['l1', 'l2']).default('l2'),
  original_elbo_weight: z.number().default(0),
  v_posterior: z.number().default(0),
  l_simple_weight: z.number().default(1),
  learn_logvar: z.boolean().default(false),
  logvar_init: z.number().default(0),
  use_ema: z.boolean().default(true),
  monitor: z.string().nullable().default('val/loss'),
  log_every_t: z.int().positive().default(100),
  clip_denoised: z.boolean().default(true),
});
export type DiffusionParams = Readonly<z.output<typeof diffusionParamsSchema>>;

export interface LatentDiffusionConfig extends DiffusionParams {
  readonly kind: 'latent_diffusion';
  /** Class name, without its module: LatentDiffusion, LatentInpaintDiffusion, LatentUpscaleDiffusion, … */
  readonly target: string;
  readonly conditioning_key: ConditioningKey;
  readonly unet_config: DenoiserConfig;
  readonly first_stage_config: FirstStageConfig;
  /** The encoder of the condition. `first_stage`: the autoencoder itself (`__is_first_stage__`); null: `__is_unconditional__`. */
  readonly cond_stage_config: CondStageConfig | 'first_stage' | null;
  /** A further condition on an image: depth, a small picture, an image's embedding. */
  readonly image_condition: ImageConditionConfig | null;
  /** `version` of a pretrained text encoder (a hub name or a folder), which also names its tokenizer. */
  readonly cond_stage_version: string | null;
  /** Tokens that a prompt is padded or cut to. */
  readonly cond_stage_max_length: number;
  readonly base_learning_rate: number | null;
  /** The learning-rate schedule, `{ target, params }`, as written. */
  readonly scheduler_config: unknown;
  /** Parameters that this program does not know, as written. */
  readonly other: Readonly<Record<string, unknown>>;
}
