/** A model's configuration as the text of LDM's YAML. */

import { StableDiffusionError } from '../errors.ts';
import type { LatentDiffusionConfig } from './latent-diffusion-config.ts';
import { ldmDocument } from './ldm-documents.ts';
import { stringifyYaml } from './yaml.ts';

/** Undefined for a model that has none. */
export function yamlOf(config: LatentDiffusionConfig): string | undefined {
  try {
    return stringifyYaml(ldmDocument(config));
  } catch (error) {
    if (error instanceof StableDiffusionError && error.code === 'config-invalid') return undefined;
    throw error;
  }
}
