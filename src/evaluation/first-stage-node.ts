/** The autoencoder in a file: of a complete model or alone, configured by the YAML next to it or inferred from names and shapes. */

import { existsSync } from 'node:fs';
import type { Engine } from '../engine/engine.ts';
import { StableDiffusionError } from '../errors.ts';
import { type OpenAutoencoder, openAutoencoder } from '../model/autoencoder.ts';
import { readConfigFile } from '../checkpoints/open-checkpoint-node.ts';
import { openNetwork } from '../checkpoints/network-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';

/** `weights` are the opened weights of `path`. Throws `invalid-argument` for other networks, and the errors of reading a configuration. */
export async function firstStageOf(engine: Engine, weights: WeightSource, path: string): Promise<OpenAutoencoder> {
  const yaml = path.replace(/\.[^./\\]+$/, '.yaml');
  const beside = yaml !== path && existsSync(yaml) ? { config: await readConfigFile(yaml) } : {};
  const { config, source } = await openNetwork(weights, { ...beside, part: 'first_stage' });
  if (config.kind !== 'kl' && config.kind !== 'vq')
    throw new StableDiffusionError(
      'invalid-argument',
      `${path} holds a network of kind ${config.kind}, and no autoencoder.`,
    );
  return openAutoencoder(config, engine, source);
}
