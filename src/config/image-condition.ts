/**
 * The condition on an image that some models have beside the one on text: SD 2.x's depth, upscaling and variation models.
 *
 * - `depth`: a depth map as a further input channel (`LatentDepth2ImageDiffusion`).
 * - `low_scale`: a noised small picture as further input channels, and its noise level as the class (`LatentUpscaleDiffusion`).
 * - `enlarged`: the smaller picture of the stage before, brought to this one's size and noised, as further input channels, and its noise level
 *   (DeepFloyd IF's later stages).
 * - `image_embedding`: a noised embedding of an image, with its noise level, as the vector (`ImageEmbeddingConditionedLatentDiffusion`, unCLIP).
 */

import * as z from 'zod';
import { clipVisionConfigSchema, dptHybridConfigSchema } from './network-config.ts';
import { className, type LdmOptions } from './ldm-network.ts';
import { configError, isMapping, type Mapping, validated } from './validate.ts';

/** The schedule of the noise on the image; defaults are those of `AbstractLowScaleModel`. */
const noiseSchedule = {
  timesteps: z.int().positive().max(1_000_000).default(1000),
  beta_schedule: z.enum(['linear', 'squaredcos_cap_v2']).default('linear'),
  linear_start: z.number().nonnegative().default(1e-4),
  linear_end: z.number().nonnegative().default(2e-2),
};

export const imageConditionSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('depth'),
    /** The network that estimates the depth; null where the file has none. */
    network: dptHybridConfigSchema.nullable().default(null),
  }),
  z.strictObject({
    kind: z.literal('low_scale'),
    ...noiseSchedule,
    /** Greatest noise level. */
    max_noise_level: z.int().nonnegative().default(250),
  }),
  z.strictObject({
    kind: z.literal('enlarged'),
    ...noiseSchedule,
    /** Greatest noise level. */
    max_noise_level: z.int().nonnegative().default(999),
  }),
  z.strictObject({
    kind: z.literal('image_embedding'),
    ...noiseSchedule,
    /** Width of the embedding, and of the noise level's sinusoids. */
    width: z.int().positive().max(65_536),
    /** The image encoder; null where the file has none. */
    network: clipVisionConfigSchema.nullable().default(null),
  }),
]);
export type ImageConditionConfig = Readonly<z.output<typeof imageConditionSchema>>;
export type ImageConditionOf<K extends ImageConditionConfig['kind']> = Extract<
  ImageConditionConfig,
  { readonly kind: K }
>;

const paramsOf = (section: unknown): Mapping =>
  isMapping(section) && isMapping(section['params']) ? section['params'] : {};

/** Schedule fields of a `noise_schedule_config`. */
function scheduleOf(params: Mapping): Mapping {
  const given = isMapping(params['noise_schedule_config']) ? params['noise_schedule_config'] : {};
  const names = ['timesteps', 'beta_schedule', 'linear_start', 'linear_end'];
  return Object.fromEntries(names.flatMap((name) => (given[name] === undefined ? [] : [[name, given[name]]])));
}

/** Networks of the conditions, found in the file: they are not described by LDM's YAML. */
export type ImageNetworks = Pick<LdmOptions, 'imageNetwork'>;

/** The condition that LDM's `params` describe, or null. Throws `config-invalid`. */
export function ldmImageCondition(params: Mapping, what: string, options: ImageNetworks): ImageConditionConfig | null {
  const { depth_stage_config: depth, low_scale_config: lowScale, embedder_config: embedder } = params;
  const network = options.imageNetwork ?? null;
  if (isMapping(depth))
    return validated(imageConditionSchema, { kind: 'depth', network }, `depth_stage_config of ${what}`);
  if (isMapping(lowScale)) {
    const name = className(lowScale['target'], `low_scale_config of ${what}`);
    if (name !== 'ImageConcatWithNoiseAugmentation')
      throw configError(
        `${what}: a low_scale_config of ${name} is not supported; ImageConcatWithNoiseAugmentation is.`,
      );
    const own = paramsOf(lowScale);
    return validated(
      imageConditionSchema,
      {
        kind: 'low_scale',
        ...scheduleOf(own),
        ...(own['max_noise_level'] === undefined ? {} : { max_noise_level: own['max_noise_level'] }),
      },
      `low_scale_config of ${what}`,
    );
  }
  if (!isMapping(embedder)) return null;
  const augmentation = paramsOf(params['noise_aug_config']);
  return validated(
    imageConditionSchema,
    { kind: 'image_embedding', width: augmentation['timestep_dim'], network, ...scheduleOf(augmentation) },
    `noise_aug_config of ${what}`,
  );
}
