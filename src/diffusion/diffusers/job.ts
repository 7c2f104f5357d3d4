/** What the sampling of a diffusers scheduler gets, and what all of them share. */

import { clamp } from '../../tensor/arithmetic.ts';
import type { DiffusionModel, Latent } from '../denoiser.ts';
import type { SamplingRequest } from '../sampler.ts';
import { dynamicThreshold } from '../thresholding.ts';
import type { WholeSchedulerConfig } from './scheduler-config.ts';

/** Input of a class's sampling: the request, with the configured model and inpainting already applied. */
export interface Job {
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

/** Clipping or thresholding of the clean latent, if configured. */
export function revision({ config }: Job): ((x0: Latent) => Latent) | undefined {
  if (config.thresholding)
    return (x0) => dynamicThreshold(x0, config.dynamic_thresholding_ratio, config.sample_max_value);
  if (config.clip_sample) return (x0) => clamp(x0, -config.clip_sample_range, config.clip_sample_range);
  return undefined;
}
