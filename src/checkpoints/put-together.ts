/** One model of several files: a UNet with or without the other parts, a separate autoencoder (VAE), a separate text encoder. */

import { StableDiffusionError } from '../errors.ts';
import { joined, withNames, withPrefix } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';

import { type DetectedNetwork, detectNetwork } from './detect.ts';
import { refuseAutoencoder } from './model-families.ts';
import { notAModel } from './family.ts';
import { hasPrefix } from './infer/shapes.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';

export interface SeparateParts {
  /** In place of the model's own autoencoder, or where it has none. */
  readonly vae?: WeightSource | undefined;
  readonly textEncoder?: WeightSource | undefined;
}

/** Kinds of networks that can serve as a part. */
const kindsOf = { first_stage: ['kl', 'vq'], cond_stage: ['clip_text', 'bert', 'clip_text_embedder'] } as const;
const words = { first_stage: 'an autoencoder (VAE)', cond_stage: 'a text encoder' } as const;

/** `model` with these parts under the names of a CompVis checkpoint; unchanged without any. Closes them all. Throws `model-unknown`. */
export function putTogether(model: WeightSource, { vae, textEncoder }: SeparateParts): WeightSource {
  if (!vae && !textEncoder) return model;
  const replaced = [...(vae ? [partPrefixes.first_stage] : []), ...(textEncoder ? [partPrefixes.cond_stage] : [])];
  const own = withNames(wholeNames(model), (name) =>
    replaced.some((prefix) => name.startsWith(prefix)) ? undefined : name,
  );
  if (vae) refuseAutoencoder(vae, own);
  const sources = [
    own,
    ...(vae ? [partSource(vae, 'first_stage')] : []),
    ...(textEncoder ? [partSource(textEncoder, 'cond_stage')] : []),
  ];
  const whole = joined(sources, model.label);
  return model.metadata ? { ...whole, metadata: model.metadata } : whole;
}

/** The network of a file that serves as a part. Throws `model-unknown` if it is another one. */
export function partNetwork(source: WeightSource, part: keyof typeof kindsOf): DetectedNetwork {
  const prefix = partPrefixes[part];
  // From a complete checkpoint its part is used.
  const alone = hasPrefix(source.entries, prefix)
    ? withNames(source, (name) => (name.startsWith(prefix) ? name : undefined))
    : source;
  const found = detectNetwork(alone);
  if ((kindsOf[part] as readonly string[]).includes(found.config.kind)) return found;
  throw (
    notAModel(source, found.config.kind) ??
    new StableDiffusionError('model-unknown', `${source.label} is not ${words[part]}; it is ${found.config.kind}.`)
  );
}

const partSource = (source: WeightSource, part: keyof typeof kindsOf): WeightSource =>
  withPrefix(partNetwork(source, part).source, partPrefixes[part]);

/** A UNet alone gets the prefix that it has in a checkpoint. */
function wholeNames(model: WeightSource): WeightSource {
  if (Object.values(partPrefixes).some((prefix) => hasPrefix(model.entries, prefix))) return model;
  const found = detectNetwork(model);
  if (found.config.kind !== 'unet')
    throw (
      notAModel(model, found.config.kind) ?? new StableDiffusionError('model-unknown', `${model.label} has no UNet.`)
    );
  return withPrefix(found.source, partPrefixes.unet);
}
