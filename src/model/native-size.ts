/** The native size of a model, from its configuration. */

import type { LatentDiffusionConfig } from '../config/latent-diffusion-config.ts';

/** Side of the latent. Stable Diffusion v1's YAML states 32, but it was fine-tuned on 64. */
export function nativeLatentSize({ image_size, unet_config, cond_stage_config }: LatentDiffusionConfig): number {
  const side = typeof image_size === 'number' ? image_size : (image_size[0] ?? 32);
  const isV1 =
    unet_config.kind === 'unet' &&
    unet_config.model_channels === 320 &&
    typeof cond_stage_config === 'object' &&
    cond_stage_config?.kind === 'clip_text';
  return isV1 ? Math.max(side, 64) : side;
}
