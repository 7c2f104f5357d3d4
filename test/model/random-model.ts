/** A small latent diffusion model of random weights, with any condition. */

import { assembledConfig } from '../../src/checkpoints/assembled-config.ts';
import type { Checkpoint } from '../../src/checkpoints/checkpoint.ts';
import { conditionerParts } from '../../src/config/conditioner-parts.ts';
import type { LatentDiffusionConfig } from '../../src/config/latent-diffusion-config.ts';
import type { CondStageConfig } from '../../src/config/latent-diffusion-config.ts';
import { klConfigSchema, type NetworkConfig } from '../../src/config/network-config.ts';
import { networkParameters } from '../../src/models/index.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { smallUNet } from '../networks.ts';

/** Weights from a fixed seed: small, and norms near one. */
export function randomWeights(network: NetworkConfig, seed = 5): WeightSource {
  const generator = new TorchGenerator(seed);
  const tensors = networkParameters(network).map(({ name, shape }): [string, Tensor] => {
    const values = generator.randn(shape);
    const fan = shape.slice(1).reduce((product, size) => product * size, 1);
    const isNorm = shape.length === 1 && name.endsWith('weight');
    const data = values.data.map((value) =>
      isNorm ? 1 + 0.02 * value : shape.length > 1 ? value / Math.sqrt(fan) : 0.02 * value,
    );
    return [name, { ...values, data }];
  });
  return memoryWeights(new Map(tensors), 'random');
}

const firstStage = klConfigSchema.parse({
  kind: 'kl',
  embed_dim: 4,
  ddconfig: {
    z_channels: 4,
    resolution: 16,
    in_channels: 3,
    out_ch: 3,
    ch: 32,
    ch_mult: [1, 1],
    num_res_blocks: 1,
    attn_resolutions: [],
  },
});

/** A checkpoint whose UNet takes the condition as context of `width`, or with `unet` other settings. */
export function randomCheckpoint(
  condition: CondStageConfig | null,
  width: number | null,
  options: { readonly unet?: object; readonly config?: Partial<LatentDiffusionConfig> } = {},
): Checkpoint {
  const unet = smallUNet({
    use_spatial_transformer: width !== null,
    context_dim: width,
    ...options.unet,
  });
  const config = {
    ...assembledConfig({ unet, firstStage, condStage: condition, params: { image_size: 8 } }),
    ...options.config,
  };
  const conditioners = [...conditionerParts(config.cond_stage_config)].map(([part, network], i) => [
    part,
    randomWeights(network, 7 + i),
  ]);
  return {
    label: 'random model',
    config,
    parts: {
      unet: randomWeights(unet),
      first_stage: randomWeights(firstStage),
      cond_stage: memoryWeights(new Map()),
      ...Object.fromEntries(conditioners),
    },
    layout: 'compvis',
    kind: 'txt2img',
    ema: 'absent',
    assumed: [],
    unused: [],
    metadata: new Map(),
    async close() {},
  };
}
