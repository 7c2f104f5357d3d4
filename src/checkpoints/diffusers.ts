/** A whole model from the components of a diffusers folder (`model_index.json`, `unet/`, `vae/`, `text_encoder/`, …), each opened. */

import { schedulerParams } from '../config/diffusers-scheduler.ts';
import { huggingFaceNetwork } from '../config/hugging-face-network.ts';
import type { ComposedConfig } from '../config/composed-conditioner.ts';
import { conditionerPart } from '../config/conditioner-parts.ts';
import type {
  IfSafetyCheckerConfig,
  IfUNetConfig,
  NetworkConfig,
  SafetyCheckerConfig,
  UNetConfig,
} from '../config/network-config.ts';
import type { Recommendation } from '../config/recommended-settings.ts';
import { configError, isMapping, type Mapping } from '../config/validate.ts';
import { StableDiffusionError } from '../errors.ts';
import { canonicalWeights } from './canonical.ts';
import { assembledConfig, assertPredictsLatents, checkpointKind } from './assembled-config.ts';
import type { Checkpoint } from './checkpoint.ts';
import { type DetectedNetwork, detectNetwork } from './detect.ts';
import { sdxlCondition } from './infer/condition.ts';
import {
  enlargedCondition,
  folderImageCondition,
  imageConditionPart,
  imageStatisticsPart,
} from './infer/image-condition.ts';
import type { WeightSource } from '../weights/weight-source.ts';

/** One component: its weights, and its `config.json`, parsed, where it has one. */
export interface DiffusersComponent {
  readonly source: WeightSource;
  readonly config?: unknown;
}

export interface DiffusersFolder {
  readonly label: string;
  readonly unet: DiffusersComponent;
  /** `vae` or `vqvae`; none for models of pixels. */
  readonly vae?: DiffusersComponent | undefined;
  readonly text_encoder?: DiffusersComponent;
  /** SDXL's second. */
  readonly text_encoder_2?: DiffusersComponent;
  /** Of a model of image variations: its image encoder, and the statistics of its embeddings. */
  readonly image_encoder?: DiffusersComponent;
  readonly image_normalizer?: DiffusersComponent;
  readonly safety_checker?: DiffusersComponent;
  /** The visible mark of DeepFloyd IF's pictures: `watermark_image` [62, 62, 4]. */
  readonly watermarker?: DiffusersComponent;
  /** `scheduler/scheduler_config.json`, parsed. */
  readonly scheduler?: unknown;
  /** `scheduler_config.json` of the noise on the image: `low_res_scheduler` or `image_noising_scheduler`. */
  readonly image_scheduler?: unknown;
  /** `model_index.json`, parsed. */
  readonly model_index?: unknown;
}

/** Throws `config-invalid`, `model-unknown` or `weights-mismatch`. Reads no weights. */
export function diffusersCheckpoint(folder: DiffusersFolder): Checkpoint {
  const open = (name: string, component: DiffusersComponent): DetectedNetwork => {
    if (component.config === undefined) return detectNetwork(component.source);
    const config = huggingFaceNetwork(component.config, `${folder.label}/${name}/config.json`);
    return { ...canonicalWeights(component.source, config), config, assumed: [] };
  };
  const unet = open('unet', folder.unet);
  const vae = folder.vae && open('vae', folder.vae);
  const text = folder.text_encoder && open('text_encoder', folder.text_encoder);
  const second = folder.text_encoder_2 && open('text_encoder_2', folder.text_encoder_2);
  const image = folder.image_encoder && open('image_encoder', folder.image_encoder);
  const safety = folder.safety_checker && open('safety_checker', folder.safety_checker);
  if (unet.config.kind !== 'unet' && unet.config.kind !== 'if_unet')
    throw configError(`${folder.label}/unet holds a network of kind ${unet.config.kind}.`);
  const encoders = [...(text ? [text] : []), ...(second ? [second] : [])];
  checkEncoder(unet.config, encoders, folder.label);
  if (safety && safety.config.kind !== 'safety_checker' && safety.config.kind !== 'if_safety_checker')
    throw configError(`${folder.label}/safety_checker holds a network of kind ${safety.config.kind}.`);
  const scheduler = isMapping(folder.scheduler) ? folder.scheduler : undefined;
  const scale = scaleOf(folder, vae?.config);
  const imageCondition =
    unet.config.kind === 'if_unet'
      ? enlargedCondition(unet.config, folder.image_scheduler)
      : folderImageCondition(unet.config, image?.config, folder);
  const config = assembledConfig({
    unet: unet.config,
    firstStage: vae?.config ?? { kind: 'identity' },
    condStage:
      imageCondition || unet.config.kind === 'if_unet'
        ? (encoders[0]?.config ?? null)
        : conditionOf(encoders, unet.config, folder),
    imageCondition,
    params: {
      ...(scheduler ? schedulerParams(scheduler, `${folder.label}/scheduler`) : {}),
      ...(scale === undefined ? {} : { scale_factor: scale }),
      image_size: unet.config.image_size,
    },
  });
  assertPredictsLatents(config, folder.label);
  const parts = [unet, ...(vae ? [vae] : []), ...encoders, ...(image ? [image] : []), ...(safety ? [safety] : [])];
  return {
    label: folder.label,
    config: { ...config, cond_stage_version: encoders.length > 0 ? `${folder.label}/tokenizer` : null },
    ...(safety ? { safety_config: safety.config as SafetyCheckerConfig | IfSafetyCheckerConfig } : {}),
    parts: {
      unet: unet.source,
      first_stage: vae?.source ?? emptyWeights(folder.label),
      cond_stage: emptyWeights(folder.label),
      ...(image ? { [imageConditionPart]: image.source } : {}),
      ...(folder.image_normalizer ? { [imageStatisticsPart]: folder.image_normalizer.source } : {}),
      ...Object.fromEntries(encoders.map(({ source }, i) => [conditionerPart(i), source])),
      ...(safety ? { safety: safety.source } : {}),
      ...(folder.watermarker ? { [visibleMarkPart]: folder.watermarker.source } : {}),
    },
    layout: 'diffusers',
    kind: checkpointKind(config),
    ema: 'absent',
    assumed: parts.flatMap((part) => part.assumed),
    unused: [],
    ...(scheduler ? { scheduler: scheduler satisfies Mapping } : {}),
    ...(unet.config.kind === 'if_unet' ? { recommendation: ifRecommendation(unet.config) } : {}),
    metadata: new Map(),
    async close() {
      const others = [folder.image_normalizer, folder.watermarker].flatMap((part) => part ?? []);
      await Promise.all([...parts, ...others].map((part) => part.source.close()));
    },
  };
}

/** The factor on latents: diffusers' pipeline for super-resolution has none, and VQModel's default is 0.18215. */
function scaleOf({ vae, model_index: index }: DiffusersFolder, config: NetworkConfig | undefined): number | undefined {
  if (isMapping(index) && index['_class_name'] === 'LDMSuperResolutionPipeline') return 1;
  const stated = isMapping(vae?.config) ? vae.config['scaling_factor'] : undefined;
  if (typeof stated === 'number' && stated > 0) return stated;
  return config?.kind === 'vq' && isMapping(vae?.config) ? 0.18215 : undefined;
}

/** The visible mark among a checkpoint's parts: `watermark_image`. */
export const visibleMarkPart = 'visible_mark';

/** Throws `weights-mismatch` where the text encoder is missing. A stage of DeepFloyd IF may be saved without it. */
function checkEncoder(unet: UNetConfig | IfUNetConfig, encoders: readonly DetectedNetwork[], label: string): void {
  if (unet.kind === 'if_unet') {
    const encoder = encoders[0]?.config;
    if (encoder && (encoder.kind !== 't5_encoder' || encoder.d_model !== unet.encoder_dim))
      throw configError(`${label}/text_encoder should be a T5 encoder of width ${unet.encoder_dim}.`);
    return;
  }
  if (encoders.length === 0 && unet.context_dim !== null)
    throw new StableDiffusionError('weights-mismatch', `${label} has no text_encoder, and its UNet needs one.`);
}

/** diffusers' defaults for the two stages. */
function ifRecommendation({ noise_level }: IfUNetConfig): Recommendation {
  const [steps, guidanceScale] = noise_level ? [50, 4] : [100, 7];
  return { settings: { steps, guidanceScale, sampler: 'DDPMScheduler' }, prompts: [] };
}

/** One text encoder unchanged, its last state normalised; or SDXL's one or two, with the sizes. */
function conditionOf(
  encoders: readonly DetectedNetwork[],
  unet: UNetConfig,
  { label, model_index: index }: DiffusersFolder,
): NetworkConfig | ComposedConfig | null {
  const texts = encoders.flatMap(({ config }) => (config.kind === 'clip_text' ? [config] : []));
  if (unet.adm_in_channels === null || texts.length < encoders.length) {
    if (encoders.length > 1)
      throw configError(`${label} has two text encoders, and its UNet takes no vector of the second one.`);
    return encoders[0]?.config ?? null;
  }
  const zeros = isMapping(index) ? index['force_zeros_for_empty_prompt'] : undefined;
  return sdxlCondition(texts, unet, { zeroEmpty: zeros !== false });
}

function emptyWeights(label: string): WeightSource {
  return {
    label,
    entries: new Map(),
    async read(name) {
      throw new StableDiffusionError('weights-mismatch', `${label} has no tensor ${name}.`);
    },
    async close() {},
  };
}
