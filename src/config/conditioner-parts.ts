/** The names under which the networks of a condition lie among a checkpoint's parts: `cond_stage`, and `cond_stage_2` … for further ones. */

import type { LatentDiffusionConfig } from './latent-diffusion-config.ts';
import type { ConditionNetworkConfig, NetworkConfig } from './network-config.ts';
import { configError } from './validate.ts';

/** The condition of a model with at most one encoder. Throws `config-invalid` for several encoders; `what` names the unsupported operation. */
export function singleCondition(
  condition: LatentDiffusionConfig['cond_stage_config'],
  what: string,
): ConditionNetworkConfig | 'first_stage' | null {
  if (condition === null || condition === 'first_stage' || condition.kind !== 'composed') return condition;
  throw configError(`${what} is not supported for models with several text encoders (SDXL).`);
}

/** Name of the part of the condition's network `index`, from 0. */
export function conditionerPart(index: number): string {
  return index === 0 ? 'cond_stage' : `cond_stage_${index + 1}`;
}

/** The networks that encode the condition, by the name of their part. */
export function conditionerParts(
  condition: LatentDiffusionConfig['cond_stage_config'],
): ReadonlyMap<string, NetworkConfig> {
  if (condition === null || condition === 'first_stage' || condition.kind === 'identity') return new Map();
  const networks =
    condition.kind === 'composed'
      ? condition.embedders.flatMap((embedder) => (embedder.kind === 'sizes' ? [] : [embedder]))
      : [condition];
  return new Map(networks.map((network, i) => [conditionerPart(i), network]));
}
