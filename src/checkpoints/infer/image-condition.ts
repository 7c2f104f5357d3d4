/**
 * The condition on an image of a complete checkpoint (SD 2.x's depth, upscaling and variation models), from names and shapes: `depth_model.`,
 * `low_scale_model.`, `embedder.` with `noise_augmentor.`, and the UNet's inputs.
 */

import { type ImageConditionConfig, imageConditionSchema } from '../../config/image-condition.ts';
import type { UNetConfig } from '../../config/network-config.ts';
import { withNames, withoutPrefix } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { type DetectedNetwork, detectNetwork } from '../detect.ts';
import { hasPrefix, inferred } from './shapes.ts';

/** The network of the condition among a checkpoint's parts. */
export const imageConditionPart = 'image_condition';

const depth = 'depth_model.model.';
const embedder = 'embedder.model.';
/** In front of everything that belongs to such a condition. */
export const imageConditionPrefixes: readonly string[] = [depth, embedder, 'low_scale_model.', 'noise_augmentor.'];

/** The network that looks at the image, where the file has one. Throws `model-unknown`. */
export function imageConditionNetwork(source: WeightSource): DetectedNetwork | undefined {
  if (hasPrefix(source.entries, depth)) return detectNetwork(withoutPrefix(source, depth));
  if (!hasPrefix(source.entries, `${embedder}visual.`)) return undefined;
  const visual = withNames(source, (name) =>
    name.startsWith(`${embedder}visual.`) ? name.slice(embedder.length) : undefined,
  );
  return detectNetwork(visual);
}

interface InferredImageCondition {
  readonly config: ImageConditionConfig;
  readonly parts: Readonly<Record<string, WeightSource>>;
}

const what = 'condition on an image';

function of(given: object, network: DetectedNetwork | undefined): InferredImageCondition {
  const config = inferred(imageConditionSchema, { ...given, ...(network ? { network: network.config } : {}) }, what);
  return { config, parts: network ? { [imageConditionPart]: network.source } : {} };
}

/** Undefined for a model without one. The schedules of the noise are those of the published models. */
export function inferImageCondition(source: WeightSource, unet: UNetConfig): InferredImageCondition | undefined {
  const { entries } = source;
  const own = unet.in_channels - unet.out_channels;
  if (hasPrefix(entries, 'low_scale_model.') || (own === 3 && unet.num_classes !== null))
    return of({ kind: 'low_scale', max_noise_level: 350 }, undefined);
  if (unet.adm_in_channels !== null && hasPrefix(entries, 'noise_augmentor.'))
    return of(
      { kind: 'image_embedding', width: unet.adm_in_channels / 2, beta_schedule: 'squaredcos_cap_v2' },
      imageConditionNetwork(source),
    );
  return own === 1 && unet.context_dim !== null ? of({ kind: 'depth' }, imageConditionNetwork(source)) : undefined;
}
