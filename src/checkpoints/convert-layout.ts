/** The weights of an opened checkpoint in either layout, for writing: one single file, or the components of a diffusers folder. */

import { type ClipTextConfig, ldmUNet, type NetworkConfig } from '../config/network-config.ts';
import type { Checkpoint } from './checkpoint.ts';
import { conditionerPrefix } from './infer/condition.ts';
import { imageConditionWeights } from './image-condition-weights.ts';
import { imageConditionPart, imageStatisticsPart } from './infer/image-condition.ts';
import { autoencoderMap } from './layouts/autoencoder.ts';
import { clipTextMap } from './layouts/clip-text.ts';
import { unetMap } from './layouts/unet.ts';
import { configError } from '../config/validate.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { memoryWeights } from '../weights/memory-weights.ts';
import { renamed } from './rename.ts';
import { singleFileNames } from './text-tower.ts';
import { conditionerParts } from '../config/conditioner-parts.ts';
import type { LatentDiffusionConfig } from '../config/latent-diffusion-config.ts';
import { joined, withNames, withPrefix } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';

/** Networks that only single files have a place for. Throws `config-invalid` for a model with one. */
function refuseImageNetworks({ label, parts }: Checkpoint): void {
  for (const part of [imageConditionPart, imageStatisticsPart])
    if ((parts[part]?.entries.size ?? 0) > 0)
      throw configError(
        `${label} has a network for a condition on an image (depth or image variation), which is written in single files alone. Use --layout compvis.`,
      );
}

/** Empty tensors that tell SDXL's v-prediction and zero terminal SNR; undefined for a model without either. */
export function predictionMarks(config: LatentDiffusionConfig): WeightSource | undefined {
  if (!isComposedCondition(config.cond_stage_config)) return undefined;
  const marks = new Map<string, Tensor>();
  if (config.parameterization === 'v') marks.set('v_pred', float32([0], []));
  if (config.rescale_betas_zero_snr) marks.set('ztsnr', float32([0], []));
  return marks.size > 0 ? memoryWeights(marks, 'marks') : undefined;
}

/** The text encoders in order, under the names of a single file, with the projection that such a file keeps separately. */
function singleFileTexts({ config, parts, textProjection }: Checkpoint): WeightSource[] {
  const isComposed = isComposedCondition(config.cond_stage_config);
  return [...conditionerParts(config.cond_stage_config)].flatMap(([name, network], i) => {
    const own = parts[name];
    if (!own) return [];
    const whole = i === 0 && textProjection && !isComposed ? joined([own, textProjection], own.label) : own;
    const prefix = isComposed ? `${conditionerPrefix}embedders.${i}.` : partPrefixes.cond_stage;
    return [withPrefix(singleFileNames(whole, network), prefix)];
  });
}

const isComposedCondition = (condition: Checkpoint['config']['cond_stage_config']): boolean =>
  typeof condition === 'object' && condition?.kind === 'composed';

/**
 * Every part under its CompVis prefix, SDXL's text encoders under sgm's, and with `scale_by_std` the buffer `scale_factor`, which is then absent
 * from the YAML; marker tensors of the prediction. The safety checker is no part of such a file.
 */
export function compVisWeights(checkpoint: Checkpoint): WeightSource {
  const { label, parts, config } = checkpoint;
  const buffers = new Map<string, Tensor>();
  if (config.scale_by_std) buffers.set('scale_factor', float32([], [config.scale_factor]));
  const marks = predictionMarks(config);
  const sources = [
    withPrefix(parts.unet, partPrefixes.unet),
    withPrefix(parts.first_stage, partPrefixes.first_stage),
    ...singleFileTexts(checkpoint),
    ...imageConditionWeights(checkpoint),
    ...(buffers.size > 0 ? [memoryWeights(buffers, label)] : []),
    ...(marks ? [marks] : []),
  ];
  return joined(sources, label);
}

/** By the name of each component's folder. */
export interface DiffusersWeights {
  readonly unet: WeightSource;
  readonly vae: WeightSource;
  readonly text_encoder?: WeightSource;
  readonly text_encoder_2?: WeightSource;
  readonly safety_checker?: WeightSource;
}

/** The text encoders of a diffusers folder by its names: SDXL's refiner has only the second. Throws `config-invalid` for other conditions. */
export function textComponents({ cond_stage_config: condition }: LatentDiffusionConfig): {
  readonly name: 'text_encoder' | 'text_encoder_2';
  readonly part: string;
  readonly config: ClipTextConfig;
}[] {
  const networks = [...conditionerParts(condition)];
  return networks.map(([part, whole], i) => {
    const config = isComposedCondition(condition) ? whole : withoutSkipped(whole);
    if (config.kind !== 'clip_text')
      throw configError(
        `A diffusers folder of Stable Diffusion has a CLIP text encoder, and this model has ${config.kind} in its place.`,
      );
    const isSecond = isComposedCondition(condition) && i === networks.length - 1;
    return { name: isSecond ? 'text_encoder_2' : 'text_encoder', part, config };
  });
}

/** A tower without the layers behind the one that is used: diffusers has Stable Diffusion 2's with 23 of its 24. */
function withoutSkipped(config: NetworkConfig): NetworkConfig {
  if (config.kind !== 'clip_text' || config.layers_skipped === 0) return config;
  return { ...config, num_hidden_layers: config.num_hidden_layers - config.layers_skipped, layers_skipped: 0 };
}

/** The tensors of a tower's first layers. */
const firstLayers = (source: WeightSource, { num_hidden_layers: count }: ClipTextConfig): WeightSource =>
  withNames(source, (name) => (Number(/\.encoder\.layers\.(\d+)\./.exec(name)?.[1] ?? -1) < count ? name : undefined));

/** Each component under the names of diffusers and transformers. Throws `config-invalid` where diffusers has no such network. */
export function diffusersWeights(checkpoint: Checkpoint): DiffusersWeights {
  const { config, parts } = checkpoint;
  const { unet_config: unet, first_stage_config: vae } = config;
  refuseImageNetworks(checkpoint);
  if (vae.kind === 'identity') throw configError('A diffusers folder needs an autoencoder, and this model has none.');
  if (config.cond_stage_config === 'first_stage')
    throw configError(
      'A diffusers folder of Stable Diffusion has a CLIP text encoder, and this model has the autoencoder in its place.',
    );
  const texts = textComponents(config).map(({ name, part, config: text }) => [
    name,
    renamed(firstLayers(parts[part] as WeightSource, text), clipTextMap(text), 'a-to-b'),
  ]);
  return {
    unet: renamed(parts.unet, unetMap(ldmUNet(unet)), 'a-to-b'),
    vae: renamed(parts.first_stage, autoencoderMap(vae), 'a-to-b'),
    ...Object.fromEntries(texts),
    ...(parts.safety ? { safety_checker: parts.safety } : {}),
  };
}

/** The whole text towers under the names of transformers, for files of their own. Throws `config-invalid` as `diffusersWeights`. */
export function splitTexts(checkpoint: Checkpoint): {
  readonly source: WeightSource;
  readonly config: ClipTextConfig;
  readonly isSecond: boolean;
}[] {
  const { config, parts, textProjection } = checkpoint;
  refuseImageNetworks(checkpoint);
  const networks = conditionerParts(config.cond_stage_config);
  return textComponents(config).map(({ name, part, config: own }) => {
    const whole = networks.get(part);
    const text = whole?.kind === 'clip_text' ? whole : own;
    const tower = parts[part] as WeightSource;
    const isSecond = name === 'text_encoder_2';
    const full =
      textProjection && !isSecond && part === 'cond_stage' ? joined([tower, textProjection], tower.label) : tower;
    return { source: renamed(full, clipTextMap(text), 'a-to-b'), config: text, isSecond };
  });
}
