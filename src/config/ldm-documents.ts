/** A whole model's configuration as LDM's YAML has it: `model.target` and `model.params`. The inverse of `ldm-config.ts`. */

import { singleCondition } from './conditioner-parts.ts';
import type { LatentDiffusionConfig } from './latent-diffusion-config.ts';
import {
  type ClipTextConfig,
  clipTextConfigSchema,
  type FirstStageConfig,
  type NetworkConfig,
} from './network-config.ts';
import { openClipArch, pretrainedText } from './pretrained-text.ts';
import { configError } from './validate.ts';

type Section = { readonly target: string; readonly params?: Readonly<Record<string, unknown>> };

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
  if (image_condition)
    throw configError(
      `Writing a configuration is not supported for models with a condition on an image (${image_condition.kind}).`,
    );
  const stage = singleCondition(cond_stage_config, 'Writing a configuration');
  return {
    model: {
      target: `ldm.models.diffusion.ddpm.${target}`,
      params: {
        ...params,
        ...(given_betas ? { given_betas } : {}),
        ...other,
        unet_config: network(unet_config),
        first_stage_config: firstStage(first_stage_config),
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
function network({ kind, ...params }: NetworkConfig): Section {
  const target = targets[kind];
  if (target === undefined)
    throw configError(`A network of kind ${kind} has no class in LDM that it could be written as.`);
  const set = Object.entries(params).filter(
    ([name, value]) => value !== null && name !== 'interface' && !(name === 'norm_num_groups' && value === 32),
  );
  return { target, params: Object.fromEntries(set) };
}

function firstStage(config: FirstStageConfig): Section {
  const { target, params = {} } = network(config);
  return config.kind === 'identity'
    ? { target }
    : { target, params: { ...params, lossconfig: { target: 'torch.nn.Identity' } } };
}

function condition(config: NetworkConfig, version: string | null, maxLength: number): Section {
  if (config.kind !== 'clip_text') return network(config);
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
  const named = [
    'kind',
    'layers_skipped',
    'output_norm',
    'pooled_output',
    'with_projection',
    'hidden_act',
    'pad_token_id',
  ];
  const published = clipTextConfigSchema.parse({ kind: 'clip_text', ...pretrainedText(arch) });
  const own = Object.entries(config).filter(
    ([name, value]) => !named.includes(name) && value !== published[name as keyof ClipTextConfig],
  );
  return {
    target: 'ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder',
    params: {
      arch,
      freeze: true,
      layer: skipped === 1 ? 'penultimate' : 'last',
      max_length: maxLength,
      ...Object.fromEntries(own),
    },
  };
}
