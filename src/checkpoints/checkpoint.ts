/**
 * A whole checkpoint: one CompVis file (or several joined) → its configuration and the weights of its parts under canonical names.
 *
 * With a configuration (LDM's YAML, parsed) that is what is built; without one everything is read from names and shapes, and what leaves
 * no trace there is taken from Stable Diffusion v1 and listed in `assumed`.
 */

import type { LatentDiffusionConfig } from '../config/latent-diffusion-config.ts';
import { putTogether } from './put-together.ts';
import { conditionerParts } from '../config/conditioner-parts.ts';
import { isDiffusionTarget, modelSection } from '../config/ldm-config.ts';
import { wholeModel } from '../config/whole-model.ts';
import type {
  IfSafetyCheckerConfig,
  NetworkConfig,
  SafetyCheckerConfig,
  UNetConfig,
} from '../config/network-config.ts';
import { type Recommendation, recommendationOf } from '../config/recommended-settings.ts';
import { lazyYaml } from '../config/lazy-yaml.ts';
import { configError, isMapping, type Mapping } from '../config/validate.ts';
import { StableDiffusionError } from '../errors.ts';
import { assembledConfig, assertPredictsLatents, type CheckpointKind, checkpointKind } from './assembled-config.ts';
import { explicitTextFields, textFields } from './text-fields.ts';
import { canonicalWeights, type LayoutName } from './canonical.ts';
import { type DetectedNetwork, detectNetwork, unknownNetwork } from './detect.ts';
import { emaCoverage, withEmaWeights } from './ema.ts';
import { readSchedule } from './infer/schedule.ts';
import { conditionerPrefix, encoderSources, inferCondition } from './infer/condition.ts';
import {
  imageConditionNetwork,
  imageConditionParts,
  imageConditionPrefixes,
  inferImageCondition,
} from './infer/image-condition.ts';
import { familyParams, markedParams } from './infer/family.ts';
import { hasPrefix } from './infer/shapes.ts';
import { ignoredReason } from './report.ts';
import { unusedTextProjection } from './text-projection.ts';
import { withNames } from '../weights/view.ts';
import type { MetadataValue, WeightSource } from '../weights/weight-source.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';

/** The weights of each part by name. `checkpointNetworks` pairs them with their configurations. */
export interface CheckpointParts {
  readonly unet: WeightSource;
  /** Empty for an identity. */
  readonly first_stage: WeightSource;
  /** Empty if the condition has no network of its own. */
  readonly cond_stage: WeightSource;
  /** Further parts: `safety`, further text encoders. */
  readonly [part: string]: WeightSource;
}

export interface Checkpoint {
  readonly label: string;
  readonly config: LatentDiffusionConfig;
  readonly safety_config?: SafetyCheckerConfig | IfSafetyCheckerConfig;
  /** Canonical names without the part's prefix. */
  readonly parts: CheckpointParts;
  readonly layout: LayoutName;
  /** The projection of the text encoder, where the condition does without (`text-projection.ts`). */
  readonly textProjection?: WeightSource | undefined;
  readonly kind: CheckpointKind;
  /** Averaged weights: `absent`, `available`, or `used` on request. */
  readonly ema: 'absent' | 'available' | 'used';
  /** Settings that the file does not state, with the assumed value. */
  readonly assumed: readonly string[];
  /** Names that belong to no part and are not on the list of harmless ones (`report.ts`). */
  readonly unused: readonly string[];
  /** `scheduler_config.json` of a diffusers folder. */
  readonly scheduler?: Mapping;
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  /** Settings that travel with the model. */
  readonly recommendation?: Recommendation;
  close(): Promise<void>;
}

export interface CheckpointOptions {
  /** LDM's YAML, parsed (`config/yaml.ts`). */
  readonly config?: unknown;
  /** Use the averaged (EMA) weights. Throws `weights-mismatch` if there are none. */
  readonly ema?: boolean;
  /** `config.json` of the text encoder that the YAML names by `version`, if it is next to the YAML. */
  readonly pretrained?: (version: string) => Mapping | undefined;
}

/** The parts of a CompVis file. Throws `model-unknown`, `config-invalid` or `weights-mismatch`. Reads at most a few small buffers. */
export async function openCheckpoint(given: WeightSource, options: CheckpointOptions = {}): Promise<Checkpoint> {
  const file = await putTogether(given, {});
  const coverage = emaCoverage(file);
  const source = options.ema ? withEmaWeights(file) : file;
  const document = options.config ?? (await configOf(file));
  const opened = await (document === undefined ? withoutConfig(source) : withConfig(source, document, options)).catch(
    async (error: unknown) => {
      throw await whatItIs(file, error);
    },
  );
  assertPredictsLatents(opened.config, file.label);
  return {
    label: file.label,
    recommendation: recommendationOf(document, file.metadata?.get('recommended'), file.label),
    ...opened,
    textProjection: unusedTextProjection(source),
    kind: checkpointKind(opened.config),
    ema: options.ema ? 'used' : coverage.averaged > 0 ? 'available' : 'absent',
    unused: unusedNames(source),
    metadata: file.metadata ?? new Map(),
    close: () => file.close(),
  };
}

/** A person who opens an SDXL checkpoint, a VAE or a LoRA as a model wants to know that, not which names it has. */
async function whatItIs(file: WeightSource, error: unknown): Promise<unknown> {
  if (!(error instanceof StableDiffusionError)) return error;
  if (error.code !== 'model-unknown' && error.code !== 'weights-mismatch') return error;
  const { notAModel } = await import('./family.ts');
  if (hasPrefix(file.entries, partPrefixes.unet)) return notAModel(file, undefined, error) ?? error;
  let kind: NetworkConfig['kind'] | undefined;
  try {
    kind = detectNetwork(file).config.kind;
  } catch {
    kind = undefined;
  }
  return notAModel(file, kind, error) ?? error;
}

/** The key of a file's metadata under which its configuration stands: LDM's YAML. One file is then enough, also by its address. */
export const configKey = 'stable_diffusion_config';

async function configOf(file: WeightSource): Promise<unknown> {
  const text = file.metadata?.get(configKey);
  return typeof text === 'string' ? lazyYaml(text, `the configuration in ${file.label}`) : undefined;
}

type Opened = Pick<Checkpoint, 'config' | 'parts' | 'layout' | 'assumed'>;

/** The tensors of one part with its prefix; may be empty. */
function partOf(source: WeightSource, prefix: string): WeightSource {
  return withNames(source, (name) => (name.startsWith(prefix) ? name : undefined));
}

function none(source: WeightSource): WeightSource {
  return withNames(source, () => undefined);
}

async function withConfig(source: WeightSource, document: unknown, options: CheckpointOptions): Promise<Opened> {
  const what = `the configuration of ${source.label}`;
  const section = modelSection(document, what);
  if (!isDiffusionTarget(section['target'])) {
    throw configError(
      `${what} is of ${String(section['target'])}, one network; a whole model (LatentDiffusion) is needed here.`,
    );
  }
  const assumed: string[] = [];
  const encoders = encoderSources(source);
  const [stage = none(source)] = encoders;
  const given = explicitTextFields(section);
  const image = imageConditionNetwork(source);
  const config = wholeModel(section, what, {
    imageNetwork: image?.config,
    pretrained: (version, index = 0) =>
      textFields(encoders[index] ?? none(source), version, options.pretrained?.(version), assumed),
  });
  const schedule = config.scale_by_std ? await readSchedule(source) : {};
  const part = (name: keyof typeof partPrefixes, network: NetworkConfig): WeightSource =>
    canonicalWeights(partOf(source, partPrefixes[name]), network).source;
  const { cond_stage_config: condition } = config;
  const marked = isMapping(condition) && condition.kind === 'composed' ? await markedParams(source) : {};
  const conditions = [...conditionerParts(condition)].map(
    ([name, network], i) => [name, canonicalWeights(encoders[i] ?? none(source), network).source] as const,
  );
  const parts = {
    unet: part('unet', config.unet_config),
    first_stage: part('first_stage', config.first_stage_config),
    cond_stage: none(source),
    ...Object.fromEntries(conditions),
    ...(config.image_condition ? imageConditionParts(source, image) : {}),
  };
  if (parts.unet.entries.size === 0) throw unknownNetwork(source);
  if (parts.first_stage.entries.size === 0 && config.first_stage_config.kind !== 'identity')
    throw lacksPart(source, 'autoencoder', partPrefixes.first_stage);
  if (
    stage.entries.size === 0 &&
    isMapping(condition) &&
    (condition.kind === 'clip_text' || condition.kind === 'bert' || condition.kind === 'composed')
  ) {
    throw lacksPart(source, 'text encoder', partPrefixes.cond_stage);
  }
  const said = (phrase: string): boolean => given.some((name) => phrase.startsWith(`text encoder: ${name} `));
  return {
    config: {
      ...config,
      ...marked,
      ...(schedule.scale_factor === undefined ? {} : { scale_factor: schedule.scale_factor }),
    },
    parts,
    layout: 'compvis',
    assumed: assumed.filter((phrase) => !said(phrase)),
  };
}

async function withoutConfig(source: WeightSource): Promise<Opened> {
  const find = (name: keyof typeof partPrefixes): DetectedNetwork | undefined => {
    const part = partOf(source, partPrefixes[name]);
    return part.entries.size === 0 ? undefined : detectNetwork(part);
  };
  const unet = find('unet');
  if (unet?.config.kind !== 'unet') throw unknownNetwork(source);
  const firstStage = find('first_stage');
  if (!firstStage) throw lacksPart(source, 'autoencoder', partPrefixes.first_stage);
  const image = inferImageCondition(source, unet.config);
  const condition = inferCondition(source, unet.config, image !== undefined);
  if (!condition.config && unet.config.context_dim !== null)
    throw lacksPart(source, 'text encoder', partPrefixes.cond_stage);
  const assumed = [
    ...[unet, firstStage].flatMap((part) => part.assumed.map((phrase) => `${part.prefix.split('.')[0]}: ${phrase}`)),
    ...condition.assumed,
  ];
  const { scale_factor, ...schedule } = await readSchedule(source);
  const family = await familyParams(source, unet.config, condition.config);
  if (schedule.timesteps === undefined) assumed.push('the noise schedule of Stable Diffusion v1');
  if (scale_factor === undefined && firstStage.config.kind === 'kl')
    assumed.push(`scale_factor ${family.params.scale_factor ?? 0.18215}`);
  assumed.push(...family.assumed);
  const config = assembledConfig({
    unet: condition.config?.kind === 'class_embedder' ? labelUNet(unet.config) : unet.config,
    firstStage: firstStage.config,
    condStage: condition.config,
    imageCondition: image?.config,
    // Absent, so that the default of the kind of autoencoder holds.
    params: { ...family.params, ...(scale_factor === undefined ? {} : { scale_factor }), ...schedule },
  });
  return {
    config,
    parts: {
      unet: unet.source,
      first_stage: firstStage.source,
      cond_stage: none(source),
      ...condition.parts,
      ...image?.parts,
    },
    layout: 'compvis',
    assumed,
  };
}

/** Class-conditional latent-diffusion models have heads of 32 channels, not 8 heads. */
function labelUNet(config: UNetConfig): UNetConfig {
  return config.model_channels % 32 === 0 ? { ...config, num_heads: -1, num_head_channels: 32 } : config;
}

function lacksPart(source: WeightSource, what: string, prefix: string): StableDiffusionError {
  return new StableDiffusionError(
    'weights-mismatch',
    `${source.label} has a UNet and no ${what} (${prefix}*). It was saved without it. Give one with ${what === 'autoencoder' ? '--vae' : '--text-encoder'} FILE, or use a whole checkpoint.`,
  );
}

function unusedNames(source: WeightSource): string[] {
  const prefixes = [...Object.values(partPrefixes), conditionerPrefix, ...imageConditionPrefixes];
  return [...source.entries.keys()].filter(
    (name) => !prefixes.some((prefix) => name.startsWith(prefix)) && ignoredReason(name) === undefined,
  );
}

/** True for a complete CompVis checkpoint: a UNet and another part, under their prefixes. */
export function isCheckpoint(source: WeightSource): boolean {
  return (
    hasPrefix(source.entries, partPrefixes.unet) &&
    [partPrefixes.first_stage, partPrefixes.cond_stage, conditionerPrefix].some((prefix) =>
      hasPrefix(source.entries, prefix),
    )
  );
}
