/** A whole model's configuration as LDM's YAML has it: `model.target` and `model.params`. The inverse of `ldm-config.ts`. */

import { singleCondition } from './conditioner-parts.ts';
import type { ImageConditionConfig } from './image-condition.ts';
import type { LatentDiffusionConfig } from './latent-diffusion-config.ts';
import {
  type ClipTextConfig,
  clipTextConfigSchema,
  type FirstStageConfig,
  type NetworkConfig,
} from './network-config.ts';
import { openClipArch, pretrainedText } from './pretrained-text.ts';
import { configError } from './validate.ts';

export type Section = { readonly target: string; readonly params?: Readonly<Record<string, unknown>> };

/** The document, for `stringifyYaml`. Throws `config-invalid` for conditions that LDM has no single class of. */
export function ldmDocument(config: LatentDiffusionConfig): { readonly model: Section } {
  const {
    kind: _,
    target,
    unet_config,
    first_stage_config,
    cond_stage_config,
    image_condition,
    cond_stage_version,
    cond_stage_max_length,
    base_learning_rate: _rate,
    scheduler_config: _scheduler,
    given_betas,
    noise_levels,
    time_is_sigma,
    latent_mean,
    latent_std,
    other,
    ...params
  } = config;
  if (noise_levels || time_is_sigma || latent_mean || latent_std)
    throw configError("Writing a configuration is not supported for models with EDM's noise levels.");
  const stage = singleCondition(cond_stage_config, 'Writing a configuration');
  return {
    model: {
      target: `ldm.models.diffusion.ddpm.${classOf(target, image_condition)}`,
      params: {
        ...params,
        ...(given_betas ? { given_betas } : {}),
        ...(image_condition ? imageSections(image_condition) : {}),
        ...other,
        unet_config: networkSection(unet_config),
        first_stage_config: firstStageSection(first_stage_config),
        cond_stage_config:
          stage === null
            ? '__is_unconditional__'
            : stage === 'first_stage'
              ? '__is_first_stage__'
              : condition(stage, cond_stage_version, cond_stage_max_length),
      },
    },
  };
}

/** The class of a model in LDM: one of its own for each condition on an image. */
function classOf(target: string, condition: ImageConditionConfig | null): string {
  if (condition) return imageClasses[condition.kind] ?? target;
  // sgm's class of whole models has other parameters.
  return target === 'DiffusionEngine' ? 'LatentDiffusion' : target;
}

const imageClasses: Partial<Record<ImageConditionConfig['kind'], string>> = {
  depth: 'LatentDepth2ImageDiffusion',
  low_scale: 'LatentUpscaleDiffusion',
  image_embedding: 'ImageEmbeddingConditionedLatentDiffusion',
};

/** The sections of Stable Diffusion 2's conditions on an image, as in its YAML files. Throws `config-invalid` for another model's. */
function imageSections(condition: ImageConditionConfig): Readonly<Record<string, unknown>> {
  if (condition.kind === 'depth')
    return {
      depth_stage_config: { target: 'ldm.modules.midas.api.MiDaSInference', params: { model_type: 'dpt_hybrid' } },
    };
  if (condition.kind === 'enlarged')
    throw configError("Writing a configuration is not supported for DeepFloyd IF's models.");
  const { timesteps, beta_schedule, linear_start, linear_end } = condition;
  const noise_schedule_config = { timesteps, beta_schedule, linear_start, linear_end };
  if (condition.kind === 'low_scale')
    return {
      low_scale_key: 'lr',
      low_scale_config: {
        target: 'ldm.modules.diffusionmodules.upscaling.ImageConcatWithNoiseAugmentation',
        params: { noise_schedule_config, max_noise_level: condition.max_noise_level },
      },
    };
  const isOpenAi = condition.network?.hidden_act === 'quick_gelu';
  return {
    embedding_dropout: 0.25,
    embedder_config: isOpenAi
      ? { target: 'ldm.modules.encoders.modules.ClipImageEmbedder', params: { model: 'ViT-L/14' } }
      : { target: 'ldm.modules.encoders.modules.FrozenOpenCLIPImageEmbedder', params: { arch: 'ViT-H-14' } },
    noise_aug_config: {
      target: 'ldm.modules.encoders.modules.CLIPEmbeddingNoiseAugmentation',
      params: { timestep_dim: condition.width, noise_schedule_config },
    },
  };
}

const targets: Partial<Record<NetworkConfig['kind'], string>> = {
  unet: 'ldm.modules.diffusionmodules.openaimodel.UNetModel',
  kl: 'ldm.models.autoencoder.AutoencoderKL',
  vq: 'ldm.models.autoencoder.VQModelInterface',
  identity: 'ldm.models.autoencoder.IdentityFirstStage',
  bert: 'ldm.modules.encoders.modules.BERTEmbedder',
  class_embedder: 'ldm.modules.encoders.modules.ClassEmbedder',
  spatial_rescaler: 'ldm.modules.encoders.modules.SpatialRescaler',
};

/** Fields that are defaults of classes are written too: they do no harm. Those that LDM's constructors do not take are left out. */
export function networkSection({ kind, ...params }: NetworkConfig): Section {
  const target = targets[kind];
  if (target === undefined)
    throw configError(`A network of kind ${kind} has no class in LDM that it could be written as.`);
  const set = Object.entries(params).filter(
    ([name, value]) => value !== null && name !== 'interface' && !(name === 'norm_num_groups' && value === 32),
  );
  const isVector = kind === 'unet' && 'adm_in_channels' in params && params.adm_in_channels !== null;
  return { target, params: { ...Object.fromEntries(set), ...(isVector ? { num_classes: 'sequential' } : {}) } };
}

/** An autoencoder under the class of LDM, or another that takes the same. */
export function firstStageSection(config: FirstStageConfig, other?: string): Section {
  const { target: own, params = {} } = networkSection(config);
  const target = config.kind === 'kl' ? (other ?? own) : own;
  return config.kind === 'identity'
    ? { target }
    : { target, params: { ...params, lossconfig: { target: 'torch.nn.Identity' } } };
}

function condition(config: NetworkConfig, version: string | null, maxLength: number): Section {
  if (config.kind !== 'clip_text') return networkSection(config);
  // OpenCLIP's towers pad with 0 and have the exact GELU; OpenAI's do neither.
  if (config.pad_token_id === 0 && config.hidden_act === 'gelu') return openClip(config, maxLength);
  if (config.layers_skipped > 0 || !config.output_norm || config.pooled_output)
    throw configError("Writing a configuration is not supported for models with a part of CLIP's text encoder.");
  const {
    kind: _,
    with_projection: _projected,
    layers_skipped: _skipped,
    output_norm: _norm,
    pooled_output: _pooled,
    ...params
  } = config;
  const named =
    version !== null && version.split('/').length === 2 && !version.includes('tokenizer') ? { version } : {};
  return {
    target: 'ldm.modules.encoders.modules.FrozenCLIPEmbedder',
    params: { ...named, max_length: maxLength, ...params },
  };
}

/** Stable Diffusion 2's text encoder. `arch` says the sizes; those that differ from it are written too. */
function openClip(config: ClipTextConfig, maxLength: number): Section {
  const { layers_skipped: skipped, output_norm, pooled_output } = config;
  if (skipped > 1 || !output_norm || pooled_output)
    throw configError("Writing a configuration is not supported for models with this part of OpenCLIP's text encoder.");
  const arch = openClipArch(config.hidden_size);
  return {
    target: 'ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder',
    params: {
      arch,
      freeze: true,
      layer: skipped === 1 ? 'penultimate' : 'last',
      max_length: maxLength,
      ...clipFields(config, arch),
    },
  };
}

/** Fields of a text encoder that differ from those of the published one of this name. */
export function clipFields(config: ClipTextConfig, version: string): Readonly<Record<string, unknown>> {
  const named = [
    'kind',
    'layers_skipped',
    'output_norm',
    'pooled_output',
    'with_projection',
    'hidden_act',
    'pad_token_id',
  ];
  const published = clipTextConfigSchema.parse({ kind: 'clip_text', ...pretrainedText(version) });
  return Object.fromEntries(
    Object.entries(config).filter(
      ([name, value]) => !named.includes(name) && value !== published[name as keyof ClipTextConfig],
    ),
  );
}
