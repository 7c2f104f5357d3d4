/** Loads a classifier of noisy latents or pictures for a model: latent-diffusion's `NoisyLatentImageClassifier`, or one of guided-diffusion's. */

import { demand } from '../arguments.ts';
import { canonicalWeights } from '../checkpoints/canonical.ts';
import { admClassifier, admFlags } from '../config/adm-flags.ts';
import { classifierFlags, storedAdmFlags } from '../config/adm-published.ts';
import type { EncoderUNetConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';
import { withoutPrefix } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type Classifier, latentClassifierConfig, openClassifier } from './classifier.ts';
import type { Model } from './model.ts';

/** From the flags in the file, by its name as guided-diffusion publishes them, or from the model's UNet. */
function configOf(path: string, weights: WeightSource, model: Model): EncoderUNetConfig {
  const stored = storedAdmFlags(weights.metadata, path);
  if (stored) return admClassifier(admFlags(stored));
  const pixels = /(?:^|[\\/])(64|128|256|512)x\1_classifier\.[^.]+$/.exec(path)?.[1];
  if (pixels !== undefined)
    return admClassifier(admFlags({ image_size: Number(pixels), ...classifierFlags(Number(pixels)) }));
  const { unet_config: unet } = model.checkpoint.config;
  if (unet.kind !== 'unet')
    throw new StableDiffusionError(
      'invalid-argument',
      `${path}: its sizes follow from the UNet of the model that it guides, and ${model.label} has a network of another kind.`,
    );
  const prefix = weights.entries.has('model.input_blocks.0.0.weight') ? 'model.' : '';
  const side = model.nativeSize / model.downsampling;
  return latentClassifierConfig(unet, withoutPrefix(weights, prefix), side);
}

/** Throws `file-not-found`, `weights-mismatch`, `shape-mismatch` for a classifier of other latents than the model's. */
export async function loadClassifier(path: string, model: Model): Promise<Classifier> {
  demand(typeof path === 'string', 'The file of a classifier', 'a path', path);
  const weights = await openWeightsAt(path);
  try {
    const config = configOf(path, weights, model);
    if (config.in_channels !== model.latentChannels)
      throw new StableDiffusionError(
        'shape-mismatch',
        `${path} judges ${config.in_channels} channels, and ${model.label} makes latents of ${model.latentChannels}.`,
      );
    const { source } = canonicalWeights(weights, config);
    const classifier = await openClassifier({ engine: model.networks.engine, config, weights: source });
    return {
      ...classifier,
      label: path,
      async [Symbol.asyncDispose]() {
        await classifier[Symbol.asyncDispose]();
        await weights.close();
      },
    };
  } catch (error) {
    await weights.close();
    throw error;
  }
}
