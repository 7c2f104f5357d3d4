/** The networks of a checkpoint by the name of their part: each configuration with the weights that belong to it. */

import { conditionerParts } from '../config/conditioner-parts.ts';
import type { LatentDiffusionConfig } from '../config/latent-diffusion-config.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { Checkpoint } from './checkpoint.ts';
import { imageConditionPart } from './infer/image-condition.ts';

export interface CheckpointNetwork {
  readonly config: NetworkConfig;
  /** Canonical names without the part's prefix. */
  readonly weights: WeightSource;
}

/** The network configurations of a model by the name of their part. Parts without a network are absent. */
export function networkConfigs(
  config: LatentDiffusionConfig,
  safety?: NetworkConfig,
): ReadonlyMap<string, NetworkConfig> {
  const { unet_config, first_stage_config, cond_stage_config } = config;
  const found = new Map<string, NetworkConfig>([['unet', unet_config]]);
  if (first_stage_config.kind !== 'identity') found.set('first_stage', first_stage_config);
  for (const [part, network] of conditionerParts(cond_stage_config)) found.set(part, network);
  if (config.image_condition && 'network' in config.image_condition && config.image_condition.network)
    found.set(imageConditionPart, config.image_condition.network);
  if (safety) found.set('safety', safety);
  return found;
}

/** The networks of a checkpoint that have weights. */
export function checkpointNetworks({
  config,
  safety_config,
  parts,
}: Pick<Checkpoint, 'config' | 'safety_config' | 'parts'>): ReadonlyMap<string, CheckpointNetwork> {
  return new Map(
    [...networkConfigs(config, safety_config)].flatMap(([part, network]) => {
      const weights = parts[part];
      return weights ? [[part, { config: network, weights }] as const] : [];
    }),
  );
}
