/** SDXL's configuration as sgm's YAML has it (`configs/inference/sd_xl_base.yaml`). The inverse of `sgm-config.ts`. */

import type { ComposedConfig, SizeField, SizesConfig } from './composed-conditioner.ts';
import type { LatentDiffusionConfig } from './latent-diffusion-config.ts';
import { clipFields, firstStageSection, networkSection, type Section } from './ldm-documents.ts';
import type { ClipTextConfig, UNetConfig } from './network-config.ts';
import { defaultClipVersion, openClipArch } from './pretrained-text.ts';
import { configError } from './validate.ts';

const modules = 'sgm.modules.diffusionmodules';

/** The document, for `stringifyYaml`. Throws `config-invalid` for what sgm has no class of. */
export function sgmDocument(config: LatentDiffusionConfig, condition: ComposedConfig): { readonly model: Section } {
  const { unet_config: unet, first_stage_config: stage, noise_levels, time_is_sigma, latent_mean } = config;
  if (noise_levels || latent_mean || unet.kind !== 'unet')
    throw configError("Writing a configuration is not supported for SDXL models with EDM's noise levels.");
  if (config.given_betas || config.linear_start !== 0.00085 || config.linear_end !== 0.012)
    throw configError("Writing a configuration is not supported for SDXL models with another model's noise schedule.");
  return {
    model: {
      target: 'sgm.models.diffusion.DiffusionEngine',
      params: {
        scale_factor: config.scale_factor,
        disable_first_stage_autocast: true,
        denoiser_config: {
          target: `${modules}.denoiser.DiscreteDenoiser`,
          params: {
            num_idx: config.timesteps,
            ...(time_is_sigma ? { quantize_c_noise: false } : {}),
            scaling_config: {
              target: `${modules}.denoiser_scaling.${config.parameterization === 'v' ? 'VScaling' : 'EpsScaling'}`,
            },
            discretization_config: { target: `${modules}.discretizer.LegacyDDPMDiscretization` },
          },
        },
        network_config: unetSection(unet),
        conditioner_config: {
          target: 'sgm.modules.GeneralConditioner',
          params: {
            emb_models: condition.embedders.flatMap(embedderSections),
            // In sgm the sampling script decides; here it belongs to the model.
            ...(condition.zero_empty ? {} : { zero_empty: false }),
          },
        },
        first_stage_config: firstStageSection(stage, 'sgm.models.autoencoder.AutoencoderKL'),
      },
    },
  };
}

/** sgm's UNet has no arguments for what it always is. */
function unetSection(unet: UNetConfig): Section {
  const { params = {} } = networkSection(unet);
  const always = ['image_size', 'use_spatial_transformer', 'legacy', 'use_new_attention_order', 'dims'];
  const own = Object.entries(params).filter(([name]) => !always.includes(name));
  return {
    target: `${modules}.openaimodel.UNetModel`,
    params: { ...Object.fromEntries(own), spatial_transformer_attn_type: 'softmax-xformers' },
  };
}

const sizeKeys: Readonly<Record<SizeField, string>> = {
  original: 'original_size_as_tuple',
  crop: 'crop_coords_top_left',
  target: 'target_size_as_tuple',
  aesthetic: 'aesthetic_score',
};

type Embedder = Section & { readonly is_trainable: false; readonly input_key: string };

function embedderSections(embedder: ClipTextConfig | SizesConfig): Embedder[] {
  if (embedder.kind === 'sizes')
    return embedder.fields.map((field) => ({
      is_trainable: false,
      input_key: sizeKeys[field],
      target: 'sgm.modules.encoders.modules.ConcatTimestepEmbedderND',
      params: { outdim: embedder.width },
    }));
  const isOpenClip = embedder.pad_token_id === 0 && embedder.hidden_act === 'gelu';
  return [{ is_trainable: false, input_key: 'txt', ...(isOpenClip ? openClip(embedder) : clip(embedder)) }];
}

function clip(config: ClipTextConfig): Section {
  if (config.output_norm || config.pooled_output)
    throw configError("Writing a configuration is not supported for models with a part of CLIP's text encoder.");
  return {
    target: 'sgm.modules.encoders.modules.FrozenCLIPEmbedder',
    params: {
      layer: 'hidden',
      layer_idx: config.num_hidden_layers - config.layers_skipped,
      ...clipFields(config, defaultClipVersion),
    },
  };
}

function openClip(config: ClipTextConfig): Section {
  if (config.layers_skipped > 1)
    throw configError("Writing a configuration is not supported for models with this part of OpenCLIP's text encoder.");
  const arch = openClipArch(config.hidden_size);
  return {
    target: 'sgm.modules.encoders.modules.FrozenOpenCLIPEmbedder2',
    params: {
      arch,
      freeze: true,
      layer: config.layers_skipped === 1 ? 'penultimate' : 'last',
      always_return_pooled: config.pooled_output,
      legacy: config.output_norm,
      ...clipFields(config, arch),
    },
  };
}
