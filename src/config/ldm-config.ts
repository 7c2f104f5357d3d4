/**
 * LDM's own configuration of a whole model: `model.target` and `model.params` of the YAML files of CompVis/stable-diffusion and
 * CompVis/latent-diffusion, and of its descendants (inpainting, InstructPix2Pix), to a `LatentDiffusionConfig`.
 */

import {
  type ConditioningKey,
  conditioningKeys,
  diffusionParamsSchema,
  type LatentDiffusionConfig,
} from './latent-diffusion-config.ts';
import { ldmImageCondition } from './image-condition.ts';
import { className, type LdmOptions, ldmNetwork } from './ldm-network.ts';
import type { ConditionNetworkConfig, FirstStageConfig, NetworkConfig, NetworkKind } from './network-config.ts';
import { defaultClipVersion } from './pretrained-text.ts';
import { configError, isMapping, type Mapping, mapping, validated } from './validate.ts';

const diffusionTargets: readonly string[] = [
  'DDPM',
  'LatentDiffusion',
  'LatentFinetuneDiffusion',
  'LatentInpaintDiffusion',
  'LatentUpscaleDiffusion',
  'LatentDepth2ImageDiffusion',
  'ImageEmbeddingConditionedLatentDiffusion',
  'Layout2ImgDiffusion',
  'DiffusionEngine',
];

/** True if the class of this `target` is a latent diffusion model, as opposed to a single network. */
export function isDiffusionTarget(target: unknown): boolean {
  return typeof target === 'string' && diffusionTargets.includes(target.split('.').at(-1) ?? '');
}

/** `{ target, params }` inside `model:`, or the document itself where it is that. */
export function modelSection(document: unknown, what: string): Mapping {
  const top = mapping(document, what);
  return top['target'] === undefined && top['model'] !== undefined ? mapping(top['model'], `model of ${what}`) : top;
}

/** The `version` of the text encoder that a configuration names, or undefined where it has none. */
export function textEncoderVersion(document: unknown): string | undefined {
  const condition =
    find(document, ['model', 'params', 'cond_stage_config']) ??
    find(document, ['params', 'cond_stage_config']) ??
    document;
  if (
    !isMapping(condition) ||
    typeof condition['target'] !== 'string' ||
    !condition['target'].endsWith('FrozenCLIPEmbedder')
  )
    return undefined;
  const version = find(condition, ['params', 'version']);
  return typeof version === 'string' ? version : defaultClipVersion;
}

function find(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((inside, name) => (isMapping(inside) ? inside[name] : undefined), value);
}

/** A latent diffusion model's `{ target, params }`. Throws `config-invalid`. */
export function ldmModel(section: Mapping, what: string, options: LdmOptions = {}): LatentDiffusionConfig {
  const target = className(section['target'], what);
  const params = mapping(section['params'], `params of ${what}`);
  const {
    unet_config,
    first_stage_config,
    cond_stage_config,
    conditioning_key,
    concat_mode,
    scheduler_config,
    ...rest
  } = params;
  const known = Object.keys(diffusionParamsSchema.shape);
  const isKnown = ([name]: [string, unknown]) => known.includes(name);
  const unet = ldmNetwork(unet_config, 'unet_config', options);
  if (unet.kind !== 'unet' && unet.kind !== 'ddpm_unet')
    throw configError(`${what}: unet_config should be a UNetModel or a Model, and is of kind ${unet.kind}.`);
  // DDPM is over pixels and has no condition.
  const isPixels = target === 'DDPM';
  const condition = isPixels ? null : condStage(cond_stage_config, options);
  const conditionParams =
    isMapping(cond_stage_config) && isMapping(cond_stage_config['params']) ? cond_stage_config['params'] : {};
  const maxLength = conditionParams['max_length'] ?? conditionParams['max_seq_len'] ?? 77;
  return {
    ...validated(diffusionParamsSchema, Object.fromEntries(Object.entries(rest).filter(isKnown)), what),
    kind: 'latent_diffusion',
    target,
    conditioning_key: condition === null ? null : conditioningKey(conditioning_key, concat_mode, what),
    unet_config: unet,
    first_stage_config: isPixels
      ? { kind: 'identity' }
      : firstStage(ldmNetwork(first_stage_config, 'first_stage_config', options)),
    cond_stage_config: condition,
    image_condition: ldmImageCondition(params, what, options),
    cond_stage_version: textEncoderVersion({ params }) ?? null,
    cond_stage_max_length:
      typeof maxLength === 'number' && Number.isInteger(maxLength) && maxLength > 0 ? maxLength : 77,
    base_learning_rate: typeof section['base_learning_rate'] === 'number' ? section['base_learning_rate'] : null,
    scheduler_config: scheduler_config ?? null,
    other: Object.fromEntries(Object.entries(rest).filter((item) => !isKnown(item))),
  };
}

/** As LatentDiffusion's constructor: the default follows from `concat_mode`, which defaults to true. */
function conditioningKey(value: unknown, concatMode: unknown, what: string): ConditioningKey {
  if (value === undefined || value === null) return concatMode === false ? 'crossattn' : 'concat';
  const key = conditioningKeys.find((name) => name === value);
  if (!key)
    throw configError(
      `${what}: conditioning_key is ${JSON.stringify(value)}, and should be one of ${conditioningKeys.join(', ')}.`,
    );
  return key;
}

function firstStage(config: NetworkConfig): FirstStageConfig {
  if (config.kind === 'kl' || config.kind === 'vq' || config.kind === 'identity') return config;
  throw configError(`first_stage_config should be an autoencoder, and is of kind ${config.kind}.`);
}

/** Networks that can encode a condition. */
const condStageKinds: { readonly [K in ConditionNetworkConfig['kind']]: true } = {
  clip_text: true,
  clip_image_embedder: true,
  clip_text_embedder: true,
  bert: true,
  t5_encoder: true,
  class_embedder: true,
  spatial_rescaler: true,
  kl: true,
  vq: true,
  identity: true,
};

function isCondStage(config: NetworkConfig): config is ConditionNetworkConfig {
  return Object.hasOwn(condStageKinds, config.kind satisfies NetworkKind);
}

function condStage(value: unknown, options: LdmOptions): ConditionNetworkConfig | 'first_stage' | null {
  if (value === '__is_first_stage__') return 'first_stage';
  if (value === '__is_unconditional__') return null;
  const config = ldmNetwork(value, 'cond_stage_config', options);
  if (!isCondStage(config))
    throw configError(`cond_stage_config should be an encoder of conditions, and is of kind ${config.kind}.`);
  return config;
}
