/** The configuration of a whole model, put together from those of its networks, and what kind of model it is. */

import type { ComposedConfig } from '../config/composed-conditioner.ts';
import type { ImageConditionConfig } from '../config/image-condition.ts';
import {
  type CondStageConfig,
  type ConditioningKey,
  type DiffusionParams,
  diffusionParamsSchema,
  type LatentDiffusionConfig,
} from '../config/latent-diffusion-config.ts';
import {
  type FirstStageConfig,
  type IfUNetConfig,
  type NetworkConfig,
  type UNetConfig,
  denoiserChannels,
} from '../config/network-config.ts';
import { defaultClipVersion } from '../config/pretrained-text.ts';
import { configError } from '../config/validate.ts';

/** The condition of a model. `depth`, `upscale`, `enlarge`, `variation`: an image beside the text; `class`: a class label; `layout`: boxes of objects; `retrieval`: a text and its neighbours in a database; `other`: plain inpainting and what has no pipeline. */
export type CheckpointKind =
  | 'txt2img'
  | 'inpaint'
  | 'ip2p'
  | 'depth'
  | 'upscale'
  | 'enlarge'
  | 'variation'
  | 'class'
  | 'unconditional'
  | 'super-resolution'
  | 'semantic-map'
  | 'layout'
  | 'retrieval'
  | 'other';

/** The configuration of a complete model from those of its networks. Missing `params` default to Stable Diffusion v1's. */
export function assembledConfig(from: {
  readonly unet: UNetConfig | IfUNetConfig;
  readonly firstStage: NetworkConfig;
  readonly condStage: NetworkConfig | ComposedConfig | null;
  readonly imageCondition?: ImageConditionConfig | null | undefined;
  readonly params: Partial<DiffusionParams>;
}): LatentDiffusionConfig {
  const { unet, firstStage, condStage, params } = from;
  if (firstStage.kind !== 'kl' && firstStage.kind !== 'vq' && firstStage.kind !== 'identity') {
    throw configError(`The autoencoder was found to be of kind ${firstStage.kind}.`);
  }
  const latent = firstStage.kind === 'identity' ? denoiserChannels(unet) : firstStage.embed_dim;
  const condition = condStage as CondStageConfig | null;
  return {
    ...diffusionParamsSchema.parse({
      timesteps: 1000,
      linear_start: 0.00085,
      linear_end: 0.012,
      scale_factor: firstStage.kind === 'kl' ? 0.18215 : 1,
      first_stage_key: 'jpg',
      cond_stage_key: 'txt',
      image_size: unet.kind === 'unet' && unet.image_size === 32 ? 64 : unet.image_size,
      use_ema: false,
      ...params,
    }),
    channels: latent,
    kind: 'latent_diffusion',
    target: 'LatentDiffusion',
    conditioning_key: keyFor(unet, latent, condition),
    unet_config: unet,
    first_stage_config: firstStage satisfies FirstStageConfig,
    cond_stage_config: condition,
    image_condition: from.imageCondition ?? null,
    cond_stage_version: condition?.kind === 'clip_text' ? defaultClipVersion : null,
    cond_stage_max_length: longestText(condition),
    base_learning_rate: null,
    scheduler_config: null,
    other: {},
  };
}

/** Throws `config-invalid` for a UNet whose output is more than a prediction for the latents: a variance that it learned is not supported. */
export function assertPredictsLatents(
  { unet_config, first_stage_config: stage }: LatentDiffusionConfig,
  label: string,
): void {
  const latent = stage.kind === 'identity' ? undefined : stage.embed_dim;
  const channels = denoiserChannels(unet_config);
  if (latent !== undefined && channels === 2 * latent)
    throw configError(
      `${label}: the UNet returns ${channels} channels for latents of ${latent}. A learned variance is not supported; use a model that was trained with a fixed one.`,
    );
}

/** Tokens of a text, from the positions of its encoder. */
function longestText(condition: CondStageConfig | null): number {
  if (condition?.kind === 'clip_text') return condition.max_position_embeddings;
  return condition?.kind === 'bert' ? condition.max_seq_len : 77;
}

/** How the condition reaches the UNet, inferred from the UNet's inputs. */
function keyFor(unet: UNetConfig | IfUNetConfig, latent: number, condition: CondStageConfig | null): ConditioningKey {
  const concatenates = unet.in_channels > latent;
  if (unet.kind === 'if_unet') return concatenates ? 'hybrid' : 'crossattn';
  if (unet.context_dim !== null && condition !== null) return concatenates ? 'hybrid' : 'crossattn';
  if (unet.num_classes !== null) return 'adm';
  return concatenates ? 'concat' : null;
}

const imageKinds = {
  depth: 'depth',
  low_scale: 'upscale',
  enlarged: 'enlarge',
  image_embedding: 'variation',
} as const;

/** The condition of a model, inferred from its encoder and its input channels. */
export function checkpointKind(config: LatentDiffusionConfig): CheckpointKind {
  const { cond_stage_config: condition, image_condition: image, unet_config: unet, channels } = config;
  if (image) return imageKinds[image.kind];
  if (unet.kind === 'if_unet') return 'txt2img';
  if (unet.kind !== 'unet') return condition === null && unet.in_channels === channels ? 'unconditional' : 'other';
  const isSuperResolution = unet.in_channels === channels + 3 && unet.num_classes === null && unet.context_dim === null;
  if (condition === null) {
    if (isSuperResolution) return 'super-resolution';
    return unet.num_classes === null && unet.in_channels === channels ? 'unconditional' : 'other';
  }
  if (condition === 'first_stage') return 'other';
  if (condition.kind === 'class_embedder') return 'class';
  if (condition.kind === 'spatial_rescaler' && unet.in_channels > channels) return 'semantic-map';
  if (condition.kind === 'bert' && !condition.use_tokenizer) return 'layout';
  if (condition.kind === 'identity' && isSuperResolution) return 'super-resolution';
  if (condition.kind === 'identity' && unet.context_dim !== null) return 'retrieval';
  const isText =
    condition.kind === 'clip_text' ||
    condition.kind === 'composed' ||
    (condition.kind === 'bert' && condition.use_tokenizer) ||
    condition.kind === 'clip_text_embedder';
  if (!isText) return 'other';
  switch (unet.in_channels - channels) {
    case 0:
      return 'txt2img';
    case channels + 1:
      return 'inpaint';
    case channels:
      return 'ip2p';
    default:
      return 'other';
  }
}
