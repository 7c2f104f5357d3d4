/** The weights and configuration of one network alone, from a file of that network or from one part of a whole checkpoint. */

import { isDiffusionTarget, ldmModel, modelSection, textEncoderVersion } from '../config/ldm-config.ts';
import { modelConfig } from '../config/model-config.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import { isHuggingFace } from '../config/hugging-face-network.ts';
import type { Mapping } from '../config/validate.ts';
import { StableDiffusionError } from '../errors.ts';
import { canonicalWeights } from './canonical.ts';
import { isCheckpoint, openCheckpoint } from './checkpoint.ts';
import { checkpointNetworks, networkConfigs } from './checkpoint-networks.ts';
import { type DetectedNetwork, detectNetwork } from './detect.ts';
import { hintWidths } from './infer/adapters.ts';
import { withNames, withoutPrefix } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';

export type PartName = 'unet' | 'first_stage' | 'cond_stage' | 'cond_stage_2' | 'safety';

export interface NetworkOptions {
  /** A configuration, parsed: of one network (`target` and `params`, or a `config.json`), or LDM's YAML of a whole model with `part`. */
  readonly config?: unknown;
  /** The network to choose from a complete checkpoint, or from a complete model's configuration. */
  readonly part?: PartName;
  readonly ema?: boolean;
  readonly pretrained?: (version: string) => Mapping | undefined;
}

/** Throws `invalid-argument` where a part has to be chosen, `model-unknown`, `config-invalid` or `weights-mismatch`. */
export async function openNetwork(source: WeightSource, options: NetworkOptions = {}): Promise<DetectedNetwork> {
  const { config, part } = options;
  const section =
    config === undefined || isHuggingFace(config)
      ? undefined
      : modelSection(config, `the configuration of ${source.label}`);
  const ofWhole = section !== undefined && isDiffusionTarget(section['target']);
  if ((ofWhole || isCheckpoint(source)) && part === undefined && (config === undefined || ofWhole)) {
    throw new StableDiffusionError(
      'invalid-argument',
      `${source.label} is a whole model; choose one part: unet, first_stage, cond_stage or safety.`,
    );
  }
  if (isCheckpoint(source) && part !== undefined && (config === undefined || ofWhole)) {
    const checkpoint = await openCheckpoint(source, options);
    const network = checkpointNetworks(checkpoint).get(part);
    if (!network || network.weights.entries.size === 0)
      throw new StableDiffusionError('invalid-argument', `${source.label} has no network ${part} of its own.`);
    return {
      config: network.config,
      source: network.weights,
      layout: 'compvis',
      prefix: part in partPrefixes ? partPrefixes[part as keyof typeof partPrefixes] : '',
      assumed: checkpoint.assumed,
    };
  }
  if (config === undefined) return detectNetwork(source);
  if (ofWhole) {
    const model = ldmModel(
      section,
      `the configuration of ${source.label}`,
      options.pretrained ? { pretrained: options.pretrained } : {},
    );
    const network = networkConfigs(model).get(part ?? 'unet');
    if (!network)
      throw new StableDiffusionError(
        'invalid-argument',
        `The configuration of ${source.label} has no network ${part} of its own.`,
      );
    return known(source, network);
  }
  // A text encoder that its configuration only names is of the sizes that its weights have.
  const version = textEncoderVersion(config);
  const pretrained =
    version === undefined ? options.pretrained : (name: string) => options.pretrained?.(name) ?? textFieldsOf(source);
  const network = modelConfig(config, `the configuration of ${source.label}`, pretrained ? { pretrained } : {});
  if (network.kind === 'latent_diffusion')
    throw new StableDiffusionError('invalid-argument', `${source.label}: choose one part.`);
  return known(
    part !== undefined && part in partPrefixes
      ? ofPart(source, partPrefixes[part as keyof typeof partPrefixes])
      : source,
    network,
  );
}

/** The tensors of a part where the file is a whole checkpoint; else all. */
function ofPart(source: WeightSource, prefix: string): WeightSource {
  return isCheckpoint(source) ? withNames(source, (name) => (name.startsWith(prefix) ? name : undefined)) : source;
}

function textFieldsOf(source: WeightSource): Mapping | undefined {
  const { config } = detectNetwork(source);
  if (config.kind !== 'clip_text') return undefined;
  const { kind: _, ...fields } = config;
  return fields;
}

/** Some configurations omit what the file shows: whether a CLIP tower has its projection, how wide a hint's convolutions are. */
function known(source: WeightSource, config: NetworkConfig): DetectedNetwork {
  const found = asFound(source, config);
  return { ...canonicalWeights(source, found), config: found, assumed: [] };
}

function asFound(source: WeightSource, config: NetworkConfig): NetworkConfig {
  if (config.kind === 'controlnet') {
    const hint_widths = hintWidths(withoutPrefix(source, 'control_model.').entries);
    return hint_widths.length > 0 ? { ...config, hint_widths } : config;
  }
  if (config.kind !== 'clip_text' && config.kind !== 'clip_vision') return config;
  const linear = config.kind === 'clip_text' ? /(^|\.)text_projection\.weight$/ : /^visual_projection\.weight$/;
  // OpenAI's matrices are transposed.
  const matrix = config.kind === 'clip_text' ? 'text_projection' : 'visual.proj';
  for (const { name, shape } of source.entries.values()) {
    const width = linear.test(name) ? shape[0] : name === matrix ? shape[1] : undefined;
    if (width !== undefined) return { ...config, with_projection: true, projection_dim: width };
  }
  return config;
}
