/**
 * The typed configuration of every network, as a discriminated union on `kind`.
 *
 * Parameter names and defaults are those of the original constructors (CompVis `ldm` for the diffusion networks, `transformers` for
 * CLIP, `diffusers` for TAESD), so that a reader who knows the YAML or JSON recognises each field. `ldm-config.ts` and
 * `hugging-face-network.ts` translate files into these; `weights/detect.ts` infers them from names and shapes.
 *
 * Two fields have no counterpart in the LDM constructors, which fix them at 32: `norm_num_groups` of the UNet and of the autoencoder
 * (diffusers folders may choose another number of groups).
 */

import * as z from 'zod';
import { StableDiffusionError } from '../errors.ts';

const size = z
  .int()
  .positive()
  .max(1 << 24);
/** Numbers of layers and blocks: bounded, because graphs and name maps grow with them. */
const layers = z.int().positive().max(512);
const blocks = z.int().positive().max(64);
const count = z.int().nonnegative().max(64);
const sizes = z.array(size).min(1).max(16).readonly();
const rate = z.number().min(0).max(1);
/** -1 is "not set" in the original. */
const headCount = z.union([size, z.literal(-1)]);

const unetShared = {
  image_size: z.union([size, z.array(size).max(2).readonly()]).default(32),
  in_channels: size,
  model_channels: size,
  out_channels: size,
  /** Residual blocks of each level; one number for all. */
  num_res_blocks: z.union([blocks, z.array(blocks).min(1).max(16).readonly()]),
  /** Downsampling factors (1, 2, 4, …) at which blocks have attention. */
  attention_resolutions: z.array(size).max(16).readonly(),
  dropout: rate.default(0),
  /** Width of each level in units of `model_channels`; may be a fraction (ADM's 512 x 512 models begin with 0.5). */
  channel_mult: z.array(z.number().positive().max(1024)).min(1).max(16).readonly().default([1, 2, 4, 8]),
  conv_resample: z.boolean().default(true),
  dims: z.literal(2).default(2),
  use_checkpoint: z.boolean().default(false),
  num_head_channels: headCount.default(-1),
  num_heads_upsample: headCount.default(-1),
  use_scale_shift_norm: z.boolean().default(false),
  resblock_updown: z.boolean().default(false),
  use_new_attention_order: z.boolean().default(false),
  /** Groups of every GroupNorm. Always 32 in LDM. */
  norm_num_groups: size.default(32),
};

/** `ldm.modules.diffusionmodules.openaimodel.UNetModel`. */
export const unetConfigSchema = z
  .strictObject({
    kind: z.literal('unet'),
    ...unetShared,
    /** Classes of the label embedding; null for none. */
    num_classes: size.nullable().default(null),
    /** Width of the vector that the label embedding takes in place of classes (`num_classes: sequential`); null for none. */
    adm_in_channels: size.nullable().default(null),
    num_heads: headCount.default(-1),
    use_spatial_transformer: z.boolean().default(false),
    /** Transformer blocks of each attention layer; one number for all levels. The middle block has the last level's. */
    transformer_depth: z.union([blocks, z.array(blocks).min(1).max(16).readonly()]).default(1),
    /** Projections of the spatial transformers are linear layers, as in SD 2.x and SDXL. */
    use_linear_in_transformer: z.boolean().default(false),
    /** Levels whose first attention is over the context too (the x4 upscaler). */
    disable_self_attentions: z.array(z.boolean()).max(16).readonly().nullable().default(null),
    context_dim: size.nullable().default(null),
    /** Width of the codebook-id predictor; null for the usual output. */
    n_embed: size.nullable().default(null),
    legacy: z.boolean().default(true),
  })
  .superRefine((config, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (config.use_spatial_transformer !== (config.context_dim !== null))
      issue('context_dim', 'use_spatial_transformer and context_dim go together');
    if (config.num_heads === -1 && config.num_head_channels === -1)
      issue('num_heads', 'either num_heads or num_head_channels has to be set');
    if (config.num_classes !== null && config.adm_in_channels !== null)
      issue('adm_in_channels', 'a UNet takes classes or a vector, not both');
    if (typeof config.transformer_depth !== 'number' && config.transformer_depth.length !== config.channel_mult.length)
      issue('transformer_depth', 'a list needs one number for each level of channel_mult');
    if (typeof config.num_res_blocks !== 'number' && config.num_res_blocks.length !== config.channel_mult.length) {
      issue('num_res_blocks', 'a list needs one number for each level of channel_mult');
    }
    checkWidths(config, issue);
    checkDepth(config, issue);
    for (const [level, mult] of config.channel_mult.entries()) {
      const width = mult * config.model_channels;
      const attends = level === config.channel_mult.length - 1 || config.attention_resolutions.includes(2 ** level);
      const unit = config.num_head_channels === -1 ? config.num_heads : config.num_head_channels;
      // A spatial transformer leaves over what does not divide; an attention block cannot.
      if (attends && (unit > width || (!config.use_spatial_transformer && width % unit !== 0))) {
        issue(
          config.num_head_channels === -1 ? 'num_heads' : 'num_head_channels',
          `${width} channels cannot be split by ${unit}`,
        );
      }
    }
  })
  .readonly();
export type UNetConfig = z.output<typeof unetConfigSchema>;

/** Every GroupNorm needs a width that its groups divide. */
function checkWidths(
  config: {
    readonly channel_mult: readonly number[];
    readonly model_channels: number;
    readonly norm_num_groups: number;
  },
  issue: (path: string, message: string) => void,
): void {
  for (const mult of config.channel_mult) {
    const width = mult * config.model_channels;
    if (!Number.isInteger(width))
      issue('channel_mult', `${mult} of ${config.model_channels} channels is not a whole number`);
    if (width % config.norm_num_groups !== 0)
      issue('model_channels', `${width} channels cannot be split into ${config.norm_num_groups} groups`);
  }
}

/** Transformer blocks on the way down. SDXL has 24; each costs time before a weight is read. */
const mostTransformerBlocks = 512;

function checkDepth(
  config: {
    readonly channel_mult: readonly number[];
    readonly num_res_blocks: number | readonly number[];
    readonly transformer_depth: number | readonly number[];
  },
  issue: (path: string, message: string) => void,
): void {
  const at = (value: number | readonly number[], level: number): number =>
    typeof value === 'number' ? value : (value[level] ?? 0);
  const total = config.channel_mult.reduce(
    (sum, _, level) => sum + at(config.num_res_blocks, level) * at(config.transformer_depth, level),
    0,
  );
  if (total > mostTransformerBlocks)
    issue('transformer_depth', `${total} transformer blocks are too many; at most ${mostTransformerBlocks} are built`);
}

/**
 * DeepFloyd IF's UNets (`deepfloyd_if.model.unet`, diffusers' `UNet2DConditionModel` with `SimpleCrossAttn` blocks): ADM's, whose attention
 * gathers from a text too, and whose time embedding has the text's pooled vector added. The later stages see the smaller picture and its noise level.
 */
export const ifUNetConfigSchema = z
  .strictObject({
    kind: z.literal('if_unet'),
    /** Nominal side of the pictures. */
    image_size: size.default(64),
    in_channels: size.default(3),
    /** Twice those of the picture: the noise, and the share of its learned variance. */
    out_channels: size.default(6),
    model_channels: size,
    channel_mult: z.array(z.number().positive().max(1024)).min(1).max(16).readonly(),
    /** Residual blocks of each level; one number for all. */
    num_res_blocks: z.union([blocks, z.array(blocks).min(1).max(16).readonly()]),
    /** Downsampling factors at which blocks have attention. */
    attention_resolutions: z.array(size).max(16).readonly(),
    /** Width of an attention head. */
    num_head_channels: size.default(64),
    /** Width of the text's vectors. */
    encoder_dim: size.default(4096),
    /** Width to which they are brought for attention. */
    encoder_channels: size,
    /** Heads of the pooling of the text. */
    att_pool_heads: size.default(64),
    /** Width of the embedding of the timestep. */
    time_embed_dim: size,
    activation: z.enum(['gelu', 'silu']).default('gelu'),
    use_scale_shift_norm: z.boolean().default(true),
    /** Attention gathers from the text alone. */
    disable_self_attentions: z.boolean().default(false),
    /** Outputs of residual blocks are divided by this (`scale_skip_connection`: 1 / 0.7071). */
    output_scale: z.number().positive().default(1),
    /** It takes the noise level of the smaller picture. */
    noise_level: z.boolean().default(false),
    /** Groups of the norms of pictures; those of texts have 32. */
    norm_num_groups: size.default(32),
  })
  .superRefine((config, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    checkWidths(config, issue);
    if (typeof config.num_res_blocks !== 'number' && config.num_res_blocks.length !== config.channel_mult.length)
      issue('num_res_blocks', 'a list needs one number for each level of channel_mult');
    if (config.out_channels % 2 !== 0)
      issue('out_channels', 'one half is the noise, the other its variance: the number must be even');
    if (config.encoder_dim % config.att_pool_heads !== 0)
      issue('att_pool_heads', `${config.encoder_dim} channels cannot be split by ${config.att_pool_heads}`);
    for (const [level, mult] of config.channel_mult.entries()) {
      const attends = level === config.channel_mult.length - 1 || config.attention_resolutions.includes(2 ** level);
      if (attends && (mult * config.model_channels) % config.num_head_channels !== 0)
        issue(
          'num_head_channels',
          `${mult * config.model_channels} channels cannot be split by ${config.num_head_channels}`,
        );
    }
  })
  .readonly();
export type IfUNetConfig = z.output<typeof ifUNetConfigSchema>;

/** `cldm.cldm.ControlNet`: the first half of a UNet, and the convolutions of the hint picture. */
export const controlNetConfigSchema = z
  .strictObject({
    kind: z.literal('controlnet'),
    unet: unetConfigSchema,
    hint_channels: size.default(3),
    /** Channels of the hint's convolutions but the last. */
    hint_widths: z.array(size).min(1).max(15).readonly().default([16, 16, 32, 32, 96, 96, 256]),
  })
  .readonly();
export type ControlNetConfig = z.output<typeof controlNetConfigSchema>;

/** TencentARC's `Adapter` and `Adapter_light` (diffusers `T2IAdapter`: `full_adapter`, SDXL's `full_adapter_xl`, `light_adapter`). */
export const t2iAdapterConfigSchema = z
  .strictObject({
    kind: z.literal('t2i_adapter'),
    adapter_type: z.enum(['full', 'full_xl', 'light']).default('full'),
    in_channels: size.default(3),
    /** Channels of each level of the UNet; of `full_xl`, then those of the middle block. */
    channels: sizes.default([320, 640, 1280, 1280]),
    num_res_blocks: blocks.default(2),
    downscale_factor: size.default(8),
  })
  .readonly();
export type T2IAdapterConfig = z.output<typeof t2iAdapterConfigSchema>;

/** TencentARC's `StyleAdapter`: tokens of context from the last hidden state of CLIP's image encoder. */
export const t2iStyleConfigSchema = z
  .strictObject({
    kind: z.literal('t2i_style'),
    width: size.default(1024),
    context_dim: size.default(768),
    num_heads: size.default(8),
    num_layers: blocks.default(3),
    num_tokens: size.default(8),
  })
  .readonly();
export type T2IStyleConfig = z.output<typeof t2iStyleConfigSchema>;

/**
 * IP-Adapter's image projections: `linear` is `ImageProjModel`, `resampler` the `Resampler` of the plus models, `mlp` the `MLPProjModel` of
 * the full ones, `face` that of FaceID.
 */
export const ipAdapterConfigSchema = z
  .strictObject({
    kind: z.literal('ip_adapter'),
    projection: z.enum(['linear', 'resampler', 'mlp', 'face']).default('linear'),
    /** Width of the image embedding; of `resampler` and `mlp`, of the hidden states. */
    clip_embeddings_dim: size.default(1024),
    cross_attention_dim: size.default(768),
    /** Tokens of one image. `mlp` makes one for each hidden state. */
    num_tokens: size.default(4),
    /** Of `resampler`: width, blocks, heads and their width. */
    width: size.default(768),
    depth: blocks.default(4),
    heads: size.default(12),
    dim_head: size.default(64),
  })
  .readonly();
export type IpAdapterConfig = z.output<typeof ipAdapterConfigSchema>;

/** GLIGEN's position network (`GLIGENTextBoundingboxProjection`): a phrase and its box to one object of the UNet's gated attentions. */
export const gligenConfigSchema = z
  .strictObject({
    kind: z.literal('gligen'),
    context_dim: size.default(768),
    /** Width of the encoded box: sines and cosines of four coordinates. */
    position_dim: size.default(64),
    width: size.default(512),
  })
  .readonly();
export type GligenConfig = z.output<typeof gligenConfigSchema>;

/** `ldm.modules.diffusionmodules.openaimodel.EncoderUNetModel`: the noisy classifier. */
export const encoderUNetConfigSchema = z
  .strictObject({
    kind: z.literal('encoder_unet'),
    ...unetShared,
    num_heads: size.default(1),
    pool: z.enum(['adaptive', 'attention', 'spatial', 'spatial_v2']).default('adaptive'),
  })
  .readonly();
export type EncoderUNetConfig = z.output<typeof encoderUNetConfigSchema>;

/** `ldm.modules.diffusionmodules.model.Model`: DDPM's own UNet over pixels. */
export const ddpmUNetConfigSchema = z
  .strictObject({
    kind: z.literal('ddpm_unet'),
    ch: size,
    out_ch: size,
    ch_mult: sizes.default([1, 2, 4, 8]),
    num_res_blocks: blocks,
    /** Sides of the picture at which blocks have attention. */
    attn_resolutions: z.array(size).max(16).readonly(),
    dropout: rate.default(0),
    resamp_with_conv: z.boolean().default(true),
    in_channels: size,
    /** Nominal side; only `attn_resolutions` is compared with it. */
    resolution: size,
    use_timestep: z.boolean().default(true),
    attn_type: z.enum(['vanilla', 'linear', 'none']).default('vanilla'),
    /** Groups of every GroupNorm. Always 32 in LDM. */
    norm_num_groups: size.default(32),
  })
  .readonly();
export type DdpmUNetConfig = z.output<typeof ddpmUNetConfigSchema>;

const perStage = <T extends z.ZodType>(value: T) => z.union([value, z.array(value).min(1).max(16).readonly()]);

/** `denoising_diffusion_pytorch.Unet` of lucidrains. */
export const lucidUNetConfigSchema = z
  .strictObject({
    kind: z.literal('lucid_unet'),
    dim: size,
    init_dim: size.nullable().default(null),
    out_dim: size.nullable().default(null),
    dim_mults: sizes.default([1, 2, 4, 8]),
    channels: size.default(3),
    self_condition: z.boolean().default(false),
    learned_variance: z.boolean().default(false),
    learned_sinusoidal_cond: z.boolean().default(false),
    random_fourier_features: z.boolean().default(false),
    learned_sinusoidal_dim: size.multipleOf(2).default(16),
    sinusoidal_pos_emb_theta: z.number().positive().default(10000),
    dropout: rate.default(0),
    attn_dim_head: perStage(size).default(32),
    attn_heads: perStage(size).default(4),
    /** Which levels have softmax attention in place of linear; null: the last. */
    full_attn: perStage(z.boolean()).nullable().default(null),
    flash_attn: z.boolean().default(false),
  })
  .superRefine((config, context) => {
    for (const name of ['attn_dim_head', 'attn_heads', 'full_attn'] as const) {
      const value = config[name];
      if (Array.isArray(value) && value.length !== config.dim_mults.length)
        context.addIssue({ code: 'custom', path: [name], message: 'a list needs one value for each of dim_mults' });
    }
  })
  .readonly();
export type LucidUNetConfig = z.output<typeof lucidUNetConfigSchema>;

/** `ddconfig`: the arguments of `ldm.modules.diffusionmodules.model.Encoder` and `Decoder`. */
export const ddconfigSchema = z
  .strictObject({
    double_z: z.boolean().default(true),
    z_channels: size,
    /** Nominal image side; only `attn_resolutions` is compared with it. */
    resolution: size,
    in_channels: size,
    out_ch: size,
    ch: size,
    ch_mult: sizes.default([1, 2, 4, 8]),
    num_res_blocks: blocks,
    attn_resolutions: z.array(size).max(16).readonly(),
    dropout: rate.default(0),
    resamp_with_conv: z.boolean().default(true),
    attn_type: z.enum(['vanilla', 'linear', 'none']).default('vanilla'),
    give_pre_end: z.boolean().default(false),
    tanh_out: z.boolean().default(false),
    /** Groups of every GroupNorm. Always 32 in LDM. */
    norm_num_groups: size.default(32),
  })
  .readonly();
export type DDConfig = z.output<typeof ddconfigSchema>;

/** `ldm.models.autoencoder.AutoencoderKL`. */
export const klConfigSchema = z
  .strictObject({ kind: z.literal('kl'), embed_dim: size, ddconfig: ddconfigSchema })
  .readonly();
export type KlConfig = z.output<typeof klConfigSchema>;

/** `ldm.models.autoencoder.VQModel` and `VQModelInterface`. */
export const vqConfigSchema = z
  .strictObject({
    kind: z.literal('vq'),
    embed_dim: size,
    /** Entries of the codebook. */
    n_embed: size,
    ddconfig: ddconfigSchema,
    /** VQModelInterface: `encode` stops before the codebook, `decode` goes through it. */
    interface: z.boolean().default(true),
    /** Indices come as [b, h, w] where true, flat [b*h*w] where false. */
    sane_index_shape: z.boolean().default(false),
  })
  .readonly();
export type VqConfig = z.output<typeof vqConfigSchema>;

export type AutoencoderConfig = KlConfig | VqConfig;

const activation = z.enum(['quick_gelu', 'gelu']);

/** `transformers.CLIPTextModel` (Hugging Face field names). */
export const clipTextConfigSchema = z
  .strictObject({
    kind: z.literal('clip_text'),
    vocab_size: size.default(49408),
    hidden_size: size.default(512),
    intermediate_size: size.default(2048),
    num_hidden_layers: layers.default(12),
    num_attention_heads: size.default(8),
    max_position_embeddings: size.default(77),
    hidden_act: activation.default('quick_gelu'),
    layer_norm_eps: z.number().positive().default(1e-5),
    projection_dim: size.default(512),
    /** 2 is the historical value that means "the largest id of the row" when pooling. */
    eos_token_id: z.int().nonnegative().default(49407),
    bos_token_id: z.int().nonnegative().default(49406),
    pad_token_id: z.int().nonnegative().default(1),
    /** CLIPTextModelWithProjection: has `text_projection.weight`. */
    with_projection: z.boolean().default(false),
    /** Blocks at the end that the condition leaves out: 1 takes the state of the last block but one (SD 2.x, SDXL). */
    layers_skipped: z.int().nonnegative().max(511).default(0),
    /** Apply the final norm to that state (SDXL: false). */
    output_norm: z.boolean().default(true),
    /** The projected end token of the last block is part of the condition too, as a vector (SDXL's second encoder). */
    pooled_output: z.boolean().default(false),
  })
  .readonly();
export type ClipTextConfig = z.output<typeof clipTextConfigSchema>;

/** `transformers.CLIPVisionModel` (Hugging Face field names). */
export const clipVisionConfigSchema = z
  .strictObject({
    kind: z.literal('clip_vision'),
    hidden_size: size.default(768),
    intermediate_size: size.default(3072),
    num_hidden_layers: layers.default(12),
    num_attention_heads: size.default(12),
    num_channels: size.default(3),
    image_size: size.default(224),
    patch_size: size.default(32),
    hidden_act: activation.default('quick_gelu'),
    layer_norm_eps: z.number().positive().default(1e-5),
    projection_dim: size.default(512),
    /** CLIPVisionModelWithProjection: has `visual_projection.weight`. */
    with_projection: z.boolean().default(false),
  })
  .readonly();
export type ClipVisionConfig = z.output<typeof clipVisionConfigSchema>;

/** `clip.model.CLIP` of OpenAI's package, with a vision transformer. */
export const openAiClipConfigSchema = z
  .strictObject({
    kind: z.literal('openai_clip'),
    embed_dim: size,
    image_resolution: size,
    vision_layers: layers,
    vision_width: size,
    vision_patch_size: size,
    context_length: size,
    vocab_size: size,
    transformer_width: size,
    transformer_heads: size,
    transformer_layers: layers,
  })
  .readonly();
export type OpenAiClipConfig = z.output<typeof openAiClipConfigSchema>;

/** `FrozenClipImageEmbedder`: OpenAI's CLIP, its image half, with the preprocessing of LDM. Parameters lie under `model.`. */
export const clipImageEmbedderConfigSchema = z
  .strictObject({
    kind: z.literal('clip_image_embedder'),
    model: openAiClipConfigSchema,
    antialias: z.boolean().default(false),
  })
  .readonly();
export type ClipImageEmbedderConfig = z.output<typeof clipImageEmbedderConfigSchema>;

/** `FrozenCLIPTextEmbedder`: OpenAI's CLIP, its text half, one vector repeated. Parameters lie under `model.`. */
export const clipTextEmbedderConfigSchema = z
  .strictObject({
    kind: z.literal('clip_text_embedder'),
    model: openAiClipConfigSchema,
    max_length: size.default(77),
    n_repeat: size.default(1),
    normalize: z.boolean().default(true),
  })
  .readonly();
export type ClipTextEmbedderConfig = z.output<typeof clipTextEmbedderConfigSchema>;

/** `BERTEmbedder`, and `TransformerEmbedder` (the same without a tokenizer): an x-transformers encoder, 8 heads of 64. */
export const bertEmbedderConfigSchema = z
  .strictObject({
    kind: z.literal('bert'),
    n_embed: size,
    n_layer: layers,
    vocab_size: size.default(30522),
    max_seq_len: size.default(77),
    use_tokenizer: z.boolean().default(true),
    embedding_dropout: rate.default(0),
  })
  .readonly();
export type BertEmbedderConfig = z.output<typeof bertEmbedderConfigSchema>;

/** `transformers.T5EncoderModel`: the encoder of T5 (v1.1's gated GELU, or the first version's ReLU), over SentencePiece's tokens. */
export const t5EncoderConfigSchema = z
  .strictObject({
    kind: z.literal('t5_encoder'),
    d_model: size.default(512),
    /** Width of a head; the heads together need not be as wide as the model. */
    d_kv: size.default(64),
    num_heads: size.default(6),
    num_layers: layers.default(8),
    d_ff: size.default(1024),
    vocab_size: size.default(32128),
    /** Rows of the table of relative positions; half of them for keys in front. */
    relative_attention_num_buckets: z.int().min(4).max(65_536).default(32),
    /** Keys that are further away share a row. */
    relative_attention_max_distance: z.int().min(2).max(65_536).default(128),
    feed_forward_proj: z.enum(['gated-gelu', 'relu']).default('gated-gelu'),
    layer_norm_epsilon: z.number().positive().default(1e-6),
  })
  .readonly();
export type T5EncoderConfig = z.output<typeof t5EncoderConfigSchema>;

/** `ldm.modules.encoders.modules.ClassEmbedder`. */
export const classEmbedderConfigSchema = z
  .strictObject({
    kind: z.literal('class_embedder'),
    embed_dim: size,
    n_classes: size.default(1000),
    key: z.string().default('class'),
  })
  .readonly();
export type ClassEmbedderConfig = z.output<typeof classEmbedderConfigSchema>;

/** `ldm.modules.encoders.modules.SpatialRescaler`. */
export const spatialRescalerConfigSchema = z
  .strictObject({
    kind: z.literal('spatial_rescaler'),
    n_stages: count.max(32).default(1),
    method: z.enum(['nearest', 'linear', 'bilinear', 'trilinear', 'bicubic', 'area']).default('bilinear'),
    multiplier: z.number().positive().default(0.5),
    in_channels: size.default(3),
    /** null: no 1x1 convolution after the resizing. */
    out_channels: size.nullable().default(null),
    bias: z.boolean().default(false),
  })
  .readonly();
export type SpatialRescalerConfig = z.output<typeof spatialRescalerConfigSchema>;

/** `StableDiffusionSafetyChecker` of diffusers. The numbers of concepts are the original's constants. */
export const safetyCheckerConfigSchema = z
  .strictObject({
    kind: z.literal('safety_checker'),
    vision_config: clipVisionConfigSchema,
    projection_dim: size.default(512),
    concepts: size.default(17),
    special_care_concepts: size.default(3),
  })
  .readonly();
export type SafetyCheckerConfig = z.output<typeof safetyCheckerConfigSchema>;

/** `IFSafetyChecker` of diffusers: two linear heads over CLIP's image embedding. */
export const ifSafetyCheckerConfigSchema = z
  .strictObject({ kind: z.literal('if_safety_checker'), vision_config: clipVisionConfigSchema })
  .readonly();
export type IfSafetyCheckerConfig = z.output<typeof ifSafetyCheckerConfigSchema>;

/** TAESD (`AutoencoderTiny` of diffusers): the small autoencoder for previews. */
export const taesdConfigSchema = z
  .strictObject({
    kind: z.literal('taesd'),
    in_channels: size.default(3),
    out_channels: size.default(3),
    encoder_block_out_channels: sizes.default([64, 64, 64, 64]),
    decoder_block_out_channels: sizes.default([64, 64, 64, 64]),
    num_encoder_blocks: z.array(count).min(1).max(16).readonly().default([1, 3, 3, 3]),
    num_decoder_blocks: z.array(count).min(1).max(16).readonly().default([3, 3, 3, 1]),
    latent_channels: size.default(4),
    latent_magnitude: z.number().positive().default(3),
    latent_shift: z.number().default(0.5),
    scaling_factor: z.number().positive().default(1),
  })
  .readonly();
export type TaesdConfig = z.output<typeof taesdConfigSchema>;

/** LPIPS on VGG16 features (`taming.modules.losses.lpips.LPIPS`). `chns`: widths of the five levels of VGG16. */
export const lpipsConfigSchema = z
  .strictObject({
    kind: z.literal('lpips'),
    chns: z.array(size).length(5).readonly().default([64, 128, 256, 512, 512]),
  })
  .readonly();
export type LpipsConfig = z.output<typeof lpipsConfigSchema>;

/** `taming.modules.discriminator.model.NLayerDiscriminator`, the patch discriminator of the autoencoders' training. */
export const discriminatorConfigSchema = z
  .strictObject({
    kind: z.literal('discriminator'),
    input_nc: size.default(3),
    ndf: size.default(64),
    n_layers: count.min(1).default(3),
    use_actnorm: z.boolean().default(false),
  })
  .readonly();
export type DiscriminatorConfig = z.output<typeof discriminatorConfigSchema>;

/** MiDaS's depth network `dpt_hybrid`: a ResNet and a vision transformer, read at four places (SD 2.x's depth model). */
export const dptHybridConfigSchema = z
  .strictObject({
    kind: z.literal('dpt_hybrid'),
    /** Channels of the ResNet's stem, and of its three stages with their blocks. */
    stem: size.default(64),
    stage_widths: z.array(size).length(3).readonly().default([256, 512, 1024]),
    stage_blocks: z.array(size).length(3).readonly().default([3, 4, 9]),
    hidden_size: size.default(768),
    num_hidden_layers: layers.default(12),
    num_attention_heads: size.default(12),
    intermediate_size: size.default(3072),
    /** Side of the grid of patches in training. */
    grid: size.default(24),
    /** Numbers of the two blocks that are read. */
    hooks: z.tuple([count, count]).readonly().default([8, 11]),
    features: size.default(256),
  })
  .readonly();
export type DptHybridConfig = z.output<typeof dptHybridConfigSchema>;

/** `torch.nn.Identity` and `IdentityFirstStage`: nothing to run and no parameters. */
export const identityConfigSchema = z.strictObject({ kind: z.literal('identity') }).readonly();
export type IdentityConfig = z.output<typeof identityConfigSchema>;

/** Every network that can be built, run alone (`sd forward`) or as a part of a model. */
export const networkConfigSchema = z.discriminatedUnion('kind', [
  unetConfigSchema.unwrap(),
  encoderUNetConfigSchema.unwrap(),
  ddpmUNetConfigSchema.unwrap(),
  ifUNetConfigSchema.unwrap(),
  lucidUNetConfigSchema.unwrap(),
  controlNetConfigSchema.unwrap(),
  t2iAdapterConfigSchema.unwrap(),
  t2iStyleConfigSchema.unwrap(),
  ipAdapterConfigSchema.unwrap(),
  gligenConfigSchema.unwrap(),
  klConfigSchema.unwrap(),
  vqConfigSchema.unwrap(),
  clipTextConfigSchema.unwrap(),
  clipVisionConfigSchema.unwrap(),
  openAiClipConfigSchema.unwrap(),
  clipImageEmbedderConfigSchema.unwrap(),
  clipTextEmbedderConfigSchema.unwrap(),
  bertEmbedderConfigSchema.unwrap(),
  t5EncoderConfigSchema.unwrap(),
  classEmbedderConfigSchema.unwrap(),
  spatialRescalerConfigSchema.unwrap(),
  safetyCheckerConfigSchema.unwrap(),
  ifSafetyCheckerConfigSchema.unwrap(),
  taesdConfigSchema.unwrap(),
  dptHybridConfigSchema.unwrap(),
  lpipsConfigSchema.unwrap(),
  discriminatorConfigSchema.unwrap(),
  identityConfigSchema.unwrap(),
]);
export type NetworkConfig =
  | UNetConfig
  | EncoderUNetConfig
  | DdpmUNetConfig
  | IfUNetConfig
  | LucidUNetConfig
  | ControlNetConfig
  | T2IAdapterConfig
  | T2IStyleConfig
  | IpAdapterConfig
  | GligenConfig
  | KlConfig
  | VqConfig
  | ClipTextConfig
  | ClipVisionConfig
  | OpenAiClipConfig
  | ClipImageEmbedderConfig
  | ClipTextEmbedderConfig
  | BertEmbedderConfig
  | T5EncoderConfig
  | ClassEmbedderConfig
  | SpatialRescalerConfig
  | SafetyCheckerConfig
  | IfSafetyCheckerConfig
  | TaesdConfig
  | DptHybridConfig
  | LpipsConfig
  | DiscriminatorConfig
  | IdentityConfig;
export type NetworkKind = NetworkConfig['kind'];
export type NetworkConfigOf<K extends NetworkKind> = Extract<NetworkConfig, { readonly kind: K }>;

/** The autoencoder of a latent diffusion model. */
export type FirstStageConfig = AutoencoderConfig | IdentityConfig;

/** A network that turns a condition into context, labels or extra channels. `CondStageConfig` adds those made of several. */
export type ConditionNetworkConfig =
  | ClipTextConfig
  | ClipImageEmbedderConfig
  | ClipTextEmbedderConfig
  | BertEmbedderConfig
  | T5EncoderConfig
  | ClassEmbedderConfig
  | SpatialRescalerConfig
  | AutoencoderConfig
  | IdentityConfig;

/** The network of a diffusion model: LDM's UNet, DDPM's own, DeepFloyd IF's. */
export type DenoiserConfig = UNetConfig | DdpmUNetConfig | IfUNetConfig;

/** LDM's UNet. Throws `invalid-argument` for the others, which take no additions. */
export function ldmUNet(config: DenoiserConfig): UNetConfig {
  if (config.kind === 'unet') return config;
  const found = config.kind === 'if_unet' ? "DeepFloyd IF's" : "DDPM's own network (model.Model)";
  throw new StableDiffusionError(
    'invalid-argument',
    `This needs LDM's UNet (openaimodel.UNetModel), and the model has ${found}.`,
  );
}

/** The side that latents must be multiples of. */
export const denoiserUnit = (config: DenoiserConfig): number =>
  2 ** ((config.kind === 'ddpm_unet' ? config.ch_mult : config.channel_mult).length - 1);

/** Channels of the picture or latent that it works on. */
export function denoiserChannels(config: DenoiserConfig): number {
  if (config.kind === 'if_unet') return config.out_channels / 2;
  return config.kind === 'unet' ? config.out_channels : config.out_ch;
}
