/** The configuration of a whole model from its YAML: LDM's classes, or sgm's `DiffusionEngine`. */

import type { LatentDiffusionConfig } from './latent-diffusion-config.ts';
import { ldmModel } from './ldm-config.ts';
import type { LdmOptions } from './ldm-network.ts';
import { isSgmTarget, sgmModel } from './sgm-config.ts';
import type { Mapping } from './validate.ts';

/** A whole model's `{ target, params }`. Throws `config-invalid`. */
export function wholeModel(section: Mapping, what: string, options: LdmOptions = {}): LatentDiffusionConfig {
  return isSgmTarget(section['target']) ? sgmModel(section, what, options) : ldmModel(section, what, options);
}
