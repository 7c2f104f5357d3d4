/** The small UNet that the recorded losses, optimiser runs and shards share, and the schedule of their noise. */

import { unetConfigSchema } from '../../src/config/network-config.ts';
import { betaSchedule } from '../../src/diffusion/beta-schedule.ts';
import { type DdpmBuffers, ddpmBuffers } from '../../src/diffusion/noise-schedule.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

/** Its configuration stands in none of the recorded settings; the weights `loss/unet` are of this shape. */
export const lossUnet = unetConfigSchema.parse({
  kind: 'unet',
  image_size: 8,
  in_channels: 4,
  out_channels: 4,
  model_channels: 32,
  num_res_blocks: 1,
  attention_resolutions: [1],
  channel_mult: [1],
  num_heads: 2,
  use_spatial_transformer: true,
  transformer_depth: 1,
  context_dim: 16,
  use_checkpoint: false,
  legacy: false,
});

/** The schedule of Stable Diffusion v1. */
export const ldmSchedule = (): DdpmBuffers =>
  ddpmBuffers(betaSchedule('linear', 1000, { linearStart: 0.00085, linearEnd: 0.012 }));

export const underPrefix = (weights: ReadonlyMap<string, Tensor>, prefix: string): Map<string, Tensor> =>
  new Map([...weights].map(([name, value]) => [prefix + name, value]));
