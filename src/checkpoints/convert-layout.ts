/** The weights of an opened checkpoint in either layout, for writing: one CompVis file, or the components of a diffusers folder. */

import { ldmUNet } from '../config/network-config.ts';

import type { Checkpoint } from './checkpoint.ts';
import { autoencoderMap } from './layouts/autoencoder.ts';
import { clipTextMap } from './layouts/clip-text.ts';
import { unetMap } from './layouts/unet.ts';
import { configError } from '../config/validate.ts';
import { float32 } from '../tensor/tensor.ts';
import { memoryWeights } from '../weights/memory-weights.ts';
import { renamed } from './rename.ts';
import { singleCondition } from '../config/conditioner-parts.ts';
import { joined, withPrefix } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';

/**
 * Every part under its CompVis prefix, and with `scale_by_std` the buffer `scale_factor`, which is then absent from the YAML. The safety checker is no
 * part of such a file.
 */
export function compVisWeights({ label, parts, config }: Checkpoint): WeightSource {
  singleCondition(config.cond_stage_config, 'Writing a single file');
  const whole = joined(
    [
      withPrefix(parts.unet, partPrefixes.unet),
      withPrefix(parts.first_stage, partPrefixes.first_stage),
      withPrefix(parts.cond_stage, partPrefixes.cond_stage),
    ],
    label,
  );
  return config.scale_by_std
    ? joined([whole, memoryWeights(new Map([['scale_factor', float32([], [config.scale_factor])]]), label)], label)
    : whole;
}

export interface DiffusersWeights {
  readonly unet: WeightSource;
  readonly vae: WeightSource;
  readonly text_encoder?: WeightSource;
  readonly safety_checker?: WeightSource;
}

/** Each component under the names of diffusers and transformers. Throws `config-invalid` where diffusers has no such network. */
export function diffusersWeights({ config, parts }: Checkpoint): DiffusersWeights {
  const { unet_config: unet, first_stage_config: vae, cond_stage_config: text } = config;
  if (vae.kind === 'identity') throw configError('A diffusers folder needs an autoencoder, and this model has none.');
  if (text !== null && (text === 'first_stage' || text.kind !== 'clip_text')) {
    throw configError(
      `A diffusers folder of Stable Diffusion has a CLIP text encoder, and this model has ${text === 'first_stage' ? 'the autoencoder' : text.kind} in its place.`,
    );
  }
  return {
    unet: renamed(parts.unet, unetMap(ldmUNet(unet)), 'a-to-b'),
    vae: renamed(parts.first_stage, autoencoderMap(vae), 'a-to-b'),
    ...(text === null ? {} : { text_encoder: renamed(parts.cond_stage, clipTextMap(text), 'a-to-b') }),
    ...(parts.safety ? { safety_checker: parts.safety } : {}),
  };
}
