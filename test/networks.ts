/** Configurations of networks that several tests need. */

import {
  type ClipTextConfig,
  clipTextConfigSchema,
  type UNetConfig,
  unetConfigSchema,
} from '../src/config/network-config.ts';

/** The UNet of Stable Diffusion v1. */
export const v1UNet: UNetConfig = unetConfigSchema.parse({
  kind: 'unet',
  image_size: 32,
  in_channels: 4,
  out_channels: 4,
  model_channels: 320,
  attention_resolutions: [4, 2, 1],
  num_res_blocks: 2,
  channel_mult: [1, 2, 4, 4],
  num_heads: 8,
  use_spatial_transformer: true,
  transformer_depth: 1,
  context_dim: 768,
  legacy: false,
});

/** Two levels of 32 channels with attention; `fields` replaces settings. */
export const smallUNet = (fields: object = {}): UNetConfig =>
  unetConfigSchema.parse({
    kind: 'unet',
    in_channels: 4,
    out_channels: 4,
    model_channels: 32,
    num_res_blocks: 1,
    attention_resolutions: [1],
    channel_mult: [1, 1],
    num_heads: 4,
    ...fields,
  });

/** A text encoder of three layers, of which the last is skipped. */
export const smallText = (fields: object = {}): ClipTextConfig =>
  clipTextConfigSchema.parse({
    kind: 'clip_text',
    hidden_size: 16,
    intermediate_size: 16,
    num_hidden_layers: 3,
    num_attention_heads: 1,
    layers_skipped: 1,
    output_norm: false,
    ...fields,
  });
