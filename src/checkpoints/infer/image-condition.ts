/**
 * The condition on an image of a complete checkpoint (SD 2.x's depth, upscaling and variation models), from names and shapes: `depth_model.`,
 * `low_scale_model.`, `embedder.` with `noise_augmentor.`, and the UNet's inputs.
 */

import { type ImageConditionConfig, imageConditionSchema } from '../../config/image-condition.ts';
import {
  clipVisionConfigSchema,
  type IfUNetConfig,
  type NetworkConfig,
  type UNetConfig,
} from '../../config/network-config.ts';
import { configError, isMapping } from '../../config/validate.ts';
import { withNames, withoutPrefix } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { canonicalWeights } from '../canonical.ts';
import { type DetectedNetwork, detectNetwork } from '../detect.ts';
import { inferClipVision } from './clip.ts';
import { hasPrefix, inferred } from './shapes.ts';

/** The network of the condition among a checkpoint's parts. */
export const imageConditionPart = 'image_condition';

/** Part with the tensors `mean` and `std` of embeddings (diffusers' `image_normalizer`). */
export const imageStatisticsPart = 'image_statistics';

export const depthPrefix = 'depth_model.model.';
export const embedderPrefix = 'embedder.model.';
/** In front of `mean` and `std` in a single file. */
export const statisticsPrefix = 'noise_augmentor.data_';
/** In front of everything that belongs to such a condition. */
export const imageConditionPrefixes: readonly string[] = [
  depthPrefix,
  embedderPrefix,
  'low_scale_model.',
  'noise_augmentor.',
];

/** The network that looks at the image, where the file has one. Throws `model-unknown`. */
export function imageConditionNetwork(source: WeightSource): DetectedNetwork | undefined {
  if (hasPrefix(source.entries, depthPrefix)) return detectNetwork(withoutPrefix(source, depthPrefix));
  if (!hasPrefix(source.entries, `${embedderPrefix}visual.`)) return undefined;
  const visual = withNames(source, (name) =>
    name.startsWith(`${embedderPrefix}visual.`) ? name.slice(embedderPrefix.length) : undefined,
  );
  const bare = canonicalWeights(visual, clipVisionConfigSchema.parse({ kind: 'clip_vision' }));
  const { config, assumed } = inferClipVision(bare.source.entries);
  // ViT-L is OpenAI's, with quick GELU; the larger ones are OpenCLIP's, with heads of 80 channels in ViT-H.
  const isOpenAi = config.hidden_size === 1024;
  const own = isOpenAi
    ? config
    : { ...config, hidden_act: 'gelu' as const, num_attention_heads: Math.max(1, Math.floor(config.hidden_size / 80)) };
  return { ...bare, config: own, assumed };
}

/** The parts of a checkpoint that belong to the condition: its network, and the statistics of embeddings where the file has them. */
export function imageConditionParts(
  source: WeightSource,
  network: DetectedNetwork | undefined,
): Readonly<Record<string, WeightSource>> {
  const statistics = withNames(source, (name) =>
    name.startsWith(statisticsPrefix) ? name.slice(statisticsPrefix.length) : undefined,
  );
  return {
    ...(network ? { [imageConditionPart]: network.source } : {}),
    ...(statistics.entries.size > 0 ? { [imageStatisticsPart]: statistics } : {}),
  };
}

interface InferredImageCondition {
  readonly config: ImageConditionConfig;
  readonly parts: Readonly<Record<string, WeightSource>>;
}

const what = 'condition on an image';

/** Of the published x4 upscaler. */
const publishedNoiseLevel = 350;

function of(source: WeightSource, given: object, network?: DetectedNetwork): InferredImageCondition {
  const config = inferred(imageConditionSchema, { ...given, ...(network ? { network: network.config } : {}) }, what);
  return { config, parts: imageConditionParts(source, network) };
}

/** Undefined for a model without one. The schedules of the noise are those of the published models. */
export function inferImageCondition(source: WeightSource, unet: UNetConfig): InferredImageCondition | undefined {
  const { entries } = source;
  const own = unet.in_channels - unet.out_channels;
  if (hasPrefix(entries, 'low_scale_model.') || (own === 3 && unet.num_classes !== null))
    return of(source, { kind: 'low_scale', max_noise_level: publishedNoiseLevel });
  const seesImages = hasPrefix(entries, 'noise_augmentor.') || hasPrefix(entries, `${embedderPrefix}visual.`);
  if (unet.adm_in_channels !== null && seesImages)
    return of(
      source,
      { kind: 'image_embedding', width: unet.adm_in_channels / 2, beta_schedule: 'squaredcos_cap_v2' },
      imageConditionNetwork(source),
    );
  return own === 1 && unet.context_dim !== null
    ? of(source, { kind: 'depth' }, imageConditionNetwork(source))
    : undefined;
}

const schedules: ReadonlyMap<unknown, string> = new Map([
  ['scaled_linear', 'linear'],
  ['squaredcos_cap_v2', 'squaredcos_cap_v2'],
]);

/** The schedule of a folder's noise on the image. */
function noiseOf(scheduler: unknown, fallback: string): Readonly<Record<string, unknown>> {
  const given = isMapping(scheduler) ? scheduler : {};
  return {
    timesteps: given['num_train_timesteps'] ?? 1000,
    beta_schedule: schedules.get(given['beta_schedule'] ?? fallback),
    linear_start: given['beta_start'] ?? 1e-4,
    linear_end: given['beta_end'] ?? 2e-2,
  };
}

/** The condition of DeepFloyd IF's later stages, or null for the first. */
export function enlargedCondition(unet: IfUNetConfig, scheduler: unknown): ImageConditionConfig | null {
  if (!unet.noise_level) return null;
  return inferred(imageConditionSchema, { kind: 'enlarged', ...noiseOf(scheduler, 'squaredcos_cap_v2') }, what);
}

/** The greatest noise level that `model_index.json` states. Throws `config-invalid` for one beyond the schedule. */
function greatestNoiseLevel(index: unknown, timesteps: unknown): unknown {
  const stated = (isMapping(index) ? index['max_noise_level'] : undefined) ?? publishedNoiseLevel;
  if (Number.isInteger(stated) && Number(stated) >= Number(timesteps))
    throw configError(
      `max_noise_level is ${String(stated)}, and the schedule of the noise has ${String(timesteps)} levels.`,
    );
  return stated;
}

export interface ImageFolder {
  /** `low_res_scheduler` or `image_noising_scheduler`, parsed. */
  readonly image_scheduler?: unknown;
  /** `model_index.json`, parsed. */
  readonly model_index?: unknown;
}

/** The condition of a diffusers folder: by the UNet's inputs, its image encoder, and the scheduler of the noise on the image. */
export function folderImageCondition(
  unet: UNetConfig,
  encoder: NetworkConfig | undefined,
  { image_scheduler: scheduler, model_index: index }: ImageFolder,
): ImageConditionConfig | null {
  const own = unet.in_channels - unet.out_channels;
  const noise = noiseOf(scheduler, encoder ? 'squaredcos_cap_v2' : 'scaled_linear');
  if (encoder && unet.adm_in_channels !== null)
    return inferred(
      imageConditionSchema,
      { kind: 'image_embedding', width: unet.adm_in_channels / 2, network: encoder, ...noise },
      what,
    );
  if (own === 3 && unet.num_classes !== null)
    return inferred(
      imageConditionSchema,
      { kind: 'low_scale', max_noise_level: greatestNoiseLevel(index, noise['timesteps']), ...noise },
      what,
    );
  // Its depth network has the names of transformers, which are not read: the depth is given.
  return own === 1 && unet.context_dim !== null ? inferred(imageConditionSchema, { kind: 'depth' }, what) : null;
}
