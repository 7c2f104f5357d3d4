/** What a model has concatenated to its latents in training, by its configuration: nothing, a mask with the masked picture, or a small picture. */

import { trainingConditioner } from '../../conditioning/conditioners.ts';
import type { LatentDiffusionConfig } from '../../config/latent-diffusion-config.ts';
import { configError } from '../../config/validate.ts';
import type { Autoencoder } from '../../model/autoencoder.ts';
import type { TraineeContext } from '../set-up.ts';
import { inpaintingConditioning, superResolutionConditioning } from './concat-conditioning.ts';
import type { Conditioning } from './conditioning.ts';

/** Throws `config-invalid`. */
export function concatOf(
  config: LatentDiffusionConfig,
  context: TraineeContext,
  stage: Autoencoder,
  side: number,
  scaleFactor: () => number,
): Conditioning | undefined {
  const { label, config: run, codec } = context;
  const { channels, unet_config: unet, target } = config;
  const more = trainingConditioner(config).takes === 'maps' ? 0 : unet.in_channels - channels;
  if (more === 0) return undefined;
  if (more === channels + 1)
    return inpaintingConditioning({
      firstStage: stage,
      scaleFactor,
      channels,
      side,
      fullShare: run.training.full_mask,
    });
  const { degradation, downscale_f: factor } = run.train;
  if (more !== 3 || target === 'LatentInpaintDiffusion')
    throw configError(
      `${label}: the UNet takes ${unet.in_channels} channels, and the latents have ${channels}. With ${2 * channels + 1} it can be trained for inpainting, with ${channels + 3} for super-resolution.`,
    );
  if (factor !== stage.downsampling)
    throw configError(
      `${label}: the small picture is ${factor} times smaller, but must have the size of the latents, which are ${stage.downsampling} times smaller. Set data.params.train.params.downscale_f to ${stage.downsampling}.`,
    );
  return superResolutionConditioning({ degradation, factor, side, codec });
}
