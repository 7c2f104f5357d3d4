/** Any configuration file to its typed form: LDM's YAML of a whole model or of one network, or a Hugging Face `config.json`. */

import { huggingFaceNetwork, isHuggingFace } from './hugging-face-network.ts';
import type { LatentDiffusionConfig } from './latent-diffusion-config.ts';
import { isDiffusionTarget, ldmModel, modelSection } from './ldm-config.ts';
import { type LdmOptions, ldmNetwork } from './ldm-network.ts';
import { lpipsConfigSchema, type NetworkConfig } from './network-config.ts';
import { isMapping, validated } from './validate.ts';
import { parseYaml } from './yaml.ts';

export type ModelConfig = LatentDiffusionConfig | NetworkConfig;

/** A document that was parsed already. `what` names it in messages. Throws `config-invalid`. */
export function modelConfig(document: unknown, what: string, options: LdmOptions = {}): ModelConfig {
  if (isHuggingFace(document)) return huggingFaceNetwork(document, what);
  // LPIPS has no configuration of its own but the widths of its VGG16.
  if (isMapping(document) && document['target'] === undefined && document['chns'] !== undefined)
    return validated(lpipsConfigSchema, { kind: 'lpips', ...document }, what);
  const section = modelSection(document, what);
  return isDiffusionTarget(section['target']) ? ldmModel(section, what, options) : ldmNetwork(section, what, options);
}

/** A file's text, YAML or JSON (which is YAML). Throws `config-invalid`. */
export function parseModelConfig(text: string, label: string, options: LdmOptions = {}): ModelConfig {
  return modelConfig(parseYaml(text, label), label, options);
}
