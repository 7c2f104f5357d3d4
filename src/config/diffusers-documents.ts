/**
 * Our configurations as the documents of a diffusers folder: `config.json` of each network, `scheduler_config.json`, `model_index.json`.
 * The inverse of `hugging-face-network.ts` and `diffusers-scheduler.ts`. Throws `config-invalid` for what diffusers has no such network of.
 */

import { conditionerParts } from './conditioner-parts.ts';
import type { LatentDiffusionConfig } from './latent-diffusion-config.ts';
import type {
  AutoencoderConfig,
  ClipTextConfig,
  ClipVisionConfig,
  SafetyCheckerConfig,
  UNetConfig,
} from './network-config.ts';
import { configError } from './validate.ts';

export type JsonDocument = Readonly<Record<string, unknown>>;

/** SDXL's vector of the pooled text and the sizes, each number in some channels; null for the vector of an image (unCLIP). */
const vectorFields = (width: number, sizes: number | null): JsonDocument => ({
  ...(sizes === null
    ? { class_embed_type: 'projection' }
    : { addition_embed_type: 'text_time', addition_time_embed_dim: sizes }),
  projection_class_embeddings_input_dim: width,
});

/** Channels of each number of a model's size conditions, null for a model without. */
export function sizesWidthOf({ cond_stage_config: condition }: LatentDiffusionConfig): number | null {
  if (typeof condition !== 'object' || condition?.kind !== 'composed') return null;
  return condition.embedders.find((one) => one.kind === 'sizes')?.width ?? null;
}

/** `UNet2DConditionModel`; `sampleSize` is the side of the latent, `sizesWidth` the channels of each size condition where the UNet takes a vector. */
export function unetDocument(config: UNetConfig, sampleSize: number, sizesWidth: number | null = 256): JsonDocument {
  const { channel_mult, model_channels, num_heads, num_head_channels } = config;
  if (!config.use_spatial_transformer || config.context_dim === null)
    throw configError('A UNet without cross attention is not written for diffusers.');
  if (!config.conv_resample || config.resblock_updown || config.n_embed !== null)
    throw configError(
      "diffusers' UNet2DConditionModel has no conv_resample false, resblock_updown or n_embed, and this UNet has.",
    );
  const widths = channel_mult.map((mult) => mult * model_channels);
  const attends = widths.map((_, level) => config.attention_resolutions.includes(2 ** level));
  const { num_res_blocks: blocks } = config;
  return {
    _class_name: 'UNet2DConditionModel',
    ...(config.adm_in_channels === null ? {} : vectorFields(config.adm_in_channels, sizesWidth)),
    act_fn: 'silu',
    // The number of heads, despite its name.
    attention_head_dim: num_head_channels === -1 ? num_heads : widths.map((width) => width / num_head_channels),
    block_out_channels: widths,
    center_input_sample: false,
    cross_attention_dim: config.context_dim,
    down_block_types: attends.map((attention) => (attention ? 'CrossAttnDownBlock2D' : 'DownBlock2D')),
    downsample_padding: 1,
    dropout: config.dropout,
    flip_sin_to_cos: true,
    freq_shift: 0,
    in_channels: config.in_channels,
    layers_per_block: typeof blocks === 'number' ? blocks : [...blocks],
    mid_block_scale_factor: 1,
    mid_block_type: 'UNetMidBlock2DCrossAttn',
    norm_eps: 1e-5,
    norm_num_groups: config.norm_num_groups,
    num_class_embeds: config.num_classes,
    only_cross_attention: config.disable_self_attentions ? [...config.disable_self_attentions] : false,
    out_channels: config.out_channels,
    resnet_time_scale_shift: config.use_scale_shift_norm ? 'scale_shift' : 'default',
    sample_size: sampleSize,
    transformer_layers_per_block:
      typeof config.transformer_depth === 'number' ? config.transformer_depth : [...config.transformer_depth],
    up_block_types: attends.toReversed().map((attention) => (attention ? 'CrossAttnUpBlock2D' : 'UpBlock2D')),
    use_linear_projection: config.use_linear_in_transformer,
  };
}

/** `AutoencoderKL` or `VQModel`; `sampleSize` is the side of the image. */
export function autoencoderDocument(config: AutoencoderConfig, sampleSize: number, scaleFactor: number): JsonDocument {
  const { ddconfig, embed_dim } = config;
  if (embed_dim !== ddconfig.z_channels)
    throw configError(
      `diffusers' autoencoders have as many channels before as after quant_conv, and this one has ${ddconfig.z_channels} and ${embed_dim}.`,
    );
  if (ddconfig.attn_type === 'linear' || !ddconfig.resamp_with_conv || ddconfig.tanh_out || ddconfig.give_pre_end)
    throw configError(
      'The autoencoder has linear attention, resampling without convolution, tanh_out or give_pre_end, which diffusers has not.',
    );
  const attends = ddconfig.ch_mult.map(
    (_, level) => ddconfig.attn_type !== 'none' && ddconfig.attn_resolutions.includes(ddconfig.resolution / 2 ** level),
  );
  const shared = {
    act_fn: 'silu',
    block_out_channels: ddconfig.ch_mult.map((mult) => mult * ddconfig.ch),
    down_block_types: attends.map((attention) => (attention ? 'AttnDownEncoderBlock2D' : 'DownEncoderBlock2D')),
    in_channels: ddconfig.in_channels,
    latent_channels: ddconfig.z_channels,
    layers_per_block: ddconfig.num_res_blocks,
    norm_num_groups: ddconfig.norm_num_groups,
    out_channels: ddconfig.out_ch,
    sample_size: sampleSize,
    scaling_factor: scaleFactor,
    up_block_types: attends.toReversed().map((attention) => (attention ? 'AttnUpDecoderBlock2D' : 'UpDecoderBlock2D')),
    mid_block_add_attention: ddconfig.attn_type !== 'none',
  };
  if (config.kind === 'kl') return { _class_name: 'AutoencoderKL', ...shared };
  return { _class_name: 'VQModel', ...shared, num_vq_embeddings: config.n_embed, vq_embed_dim: embed_dim };
}

/** `CLIPTextModel`. Which state is taken is no setting of the network there: the pipelines of diffusers decide it. */
export function clipTextDocument(config: ClipTextConfig): JsonDocument {
  const {
    kind: _,
    with_projection,
    layers_skipped: _skipped,
    output_norm: _norm,
    pooled_output: _pooled,
    ...fields
  } = config;
  return {
    architectures: [with_projection ? 'CLIPTextModelWithProjection' : 'CLIPTextModel'],
    model_type: 'clip_text_model',
    ...fields,
  };
}

function clipVisionFields({ kind: _, with_projection: _projected, ...fields }: ClipVisionConfig): JsonDocument {
  return { model_type: 'clip_vision_model', ...fields };
}

/** `StableDiffusionSafetyChecker`. */
export function safetyCheckerDocument(config: SafetyCheckerConfig): JsonDocument {
  return {
    architectures: ['StableDiffusionSafetyChecker'],
    model_type: 'clip',
    projection_dim: config.projection_dim,
    vision_config: clipVisionFields(config.vision_config),
  };
}

/** diffusers' names of LDM's schedules; see `diffusers-scheduler.ts`. */
const schedules: Readonly<Record<string, string>> = {
  linear: 'scaled_linear',
  sqrt_linear: 'linear',
  cosine: 'squaredcos_cap_v2',
};
const predictions = { eps: 'epsilon', x0: 'sample', v: 'v_prediction' } as const;

const isSdxl = ({ cond_stage_config: condition }: LatentDiffusionConfig): boolean =>
  typeof condition === 'object' && condition?.kind === 'composed';

/** The class of a scheduler: PNDM, as the published Stable Diffusion v1 has it, and Euler for SDXL. */
const schedulerClass = (config: LatentDiffusionConfig): string =>
  isSdxl(config) ? 'EulerDiscreteScheduler' : 'PNDMScheduler';

export function schedulerDocument(config: LatentDiffusionConfig): JsonDocument {
  const schedule = schedules[config.beta_schedule];
  if (!schedule && !config.given_betas)
    throw configError(`The noise schedule ${config.beta_schedule} has no counterpart in diffusers.`);
  return {
    _class_name: schedulerClass(config),
    beta_start: config.linear_start,
    beta_end: config.linear_end,
    beta_schedule: schedule ?? 'linear',
    trained_betas: config.given_betas,
    num_train_timesteps: config.timesteps,
    ...(config.rescale_betas_zero_snr ? { rescale_betas_zero_snr: true } : {}),
    prediction_type: predictions[config.parameterization],
    ...(isSdxl(config) ? {} : { set_alpha_to_one: false, skip_prk_steps: true }),
    steps_offset: 1,
    timestep_spacing: 'leading',
  };
}

/** `model_index.json` of a Stable Diffusion pipeline; the kind follows from the UNet's input channels. */
export function modelIndexDocument(config: LatentDiffusionConfig, safety: boolean): JsonDocument {
  const { image_condition: image } = config;
  if (image?.kind === 'low_scale') return upscalerIndex(config);
  if (image)
    throw configError(
      `A diffusers folder of a model with a condition on an image (${image.kind}) needs the network that looks at the image, which is not written.`,
    );
  const extra = config.unet_config.in_channels - config.channels;
  const task = extra === 0 ? '' : extra === config.channels ? 'InstructPix2Pix' : 'Inpaint';
  if (isSdxl(config)) return sdxlIndex(config, task);
  const name = `StableDiffusion${task}Pipeline`;
  return {
    _class_name: name,
    feature_extractor: safety ? ['transformers', 'CLIPImageProcessor'] : [null, null],
    requires_safety_checker: safety,
    safety_checker: safety ? ['stable_diffusion', 'StableDiffusionSafetyChecker'] : [null, null],
    scheduler: ['diffusers', 'PNDMScheduler'],
    text_encoder: ['transformers', 'CLIPTextModel'],
    tokenizer: ['transformers', 'CLIPTokenizer'],
    unet: ['diffusers', 'UNet2DConditionModel'],
    vae: ['diffusers', config.first_stage_config.kind === 'vq' ? 'VQModel' : 'AutoencoderKL'],
  };
}

/** The x4 upscaler; the schedule of the noise on the small picture is a component of its own (`lowResolutionDocument`). */
function upscalerIndex(config: LatentDiffusionConfig): JsonDocument {
  return {
    _class_name: 'StableDiffusionUpscalePipeline',
    feature_extractor: [null, null],
    low_res_scheduler: ['diffusers', 'DDPMScheduler'],
    max_noise_level: config.image_condition?.kind === 'low_scale' ? config.image_condition.max_noise_level : 350,
    safety_checker: [null, null],
    scheduler: ['diffusers', schedulerClass(config)],
    text_encoder: ['transformers', 'CLIPTextModel'],
    tokenizer: ['transformers', 'CLIPTokenizer'],
    unet: ['diffusers', 'UNet2DConditionModel'],
    vae: ['diffusers', 'AutoencoderKL'],
    watermarker: [null, null],
  };
}

/** `low_res_scheduler` of the x4 upscaler; undefined for other models. */
export function lowResolutionDocument({ image_condition: image }: LatentDiffusionConfig): JsonDocument | undefined {
  if (image?.kind !== 'low_scale') return undefined;
  return {
    _class_name: 'DDPMScheduler',
    beta_start: image.linear_start,
    beta_end: image.linear_end,
    beta_schedule: image.beta_schedule === 'linear' ? 'scaled_linear' : image.beta_schedule,
    clip_sample: true,
    num_train_timesteps: image.timesteps,
    prediction_type: 'epsilon',
    trained_betas: null,
    variance_type: 'fixed_small',
  };
}

/** SDXL has two text encoders and tokenizers, its refiner the second alone. */
function sdxlIndex(config: LatentDiffusionConfig, task: string): JsonDocument {
  const texts = conditionerParts(config.cond_stage_config).size;
  const first = texts > 1;
  return {
    _class_name: `StableDiffusionXL${first ? task : 'Img2Img'}Pipeline`,
    force_zeros_for_empty_prompt: zeroesEmpty(config),
    ...(first ? {} : { requires_aesthetics_score: true }),
    scheduler: ['diffusers', schedulerClass(config)],
    text_encoder: first ? ['transformers', 'CLIPTextModel'] : [null, null],
    text_encoder_2: ['transformers', 'CLIPTextModelWithProjection'],
    tokenizer: first ? ['transformers', 'CLIPTokenizer'] : [null, null],
    tokenizer_2: ['transformers', 'CLIPTokenizer'],
    unet: ['diffusers', 'UNet2DConditionModel'],
    vae: ['diffusers', 'AutoencoderKL'],
  };
}

const zeroesEmpty = ({ cond_stage_config: condition }: LatentDiffusionConfig): boolean =>
  typeof condition !== 'object' || condition?.kind !== 'composed' || condition.zero_empty;

/** Preprocessing of the safety checker's pictures (CLIP's). */
export function featureExtractorDocument(side: number): JsonDocument {
  return {
    image_processor_type: 'CLIPImageProcessor',
    crop_size: { height: side, width: side },
    do_center_crop: true,
    do_convert_rgb: true,
    do_normalize: true,
    do_rescale: true,
    do_resize: true,
    image_mean: [0.48145466, 0.4578275, 0.40821073],
    image_std: [0.26862954, 0.26130258, 0.27577711],
    resample: 3,
    rescale_factor: 1 / 255,
    size: { shortest_edge: side },
  };
}
