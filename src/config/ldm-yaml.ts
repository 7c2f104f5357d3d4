/** A model's configuration as the text of LDM's YAML, of SDXL as sgm's. */

import { StableDiffusionError } from '../errors.ts';
import type { LatentDiffusionConfig } from './latent-diffusion-config.ts';
import { ldmDocument } from './ldm-documents.ts';
import { sgmDocument } from './sgm-documents.ts';
import { stringifyYaml } from './yaml.ts';

/** Undefined for a model that has none. */
export function yamlOf(config: LatentDiffusionConfig): string | undefined {
  const { cond_stage_config: condition } = config;
  try {
    return stringifyYaml(
      typeof condition === 'object' && condition?.kind === 'composed'
        ? sgmDocument(config, condition)
        : ldmDocument(config),
    );
  } catch (error) {
    if (error instanceof StableDiffusionError && error.code === 'config-invalid') return undefined;
    throw error;
  }
}
