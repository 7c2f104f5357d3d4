/**
 * Hugging Face `config.json` of one network to its typed configuration: `transformers` models (by `architectures` or `model_type`) and
 * `diffusers` models (by `_class_name`).
 *
 * Fields that would change the computation have to have the value that Stable Diffusion v1 has, or be absent; each other value is
 * refused by name instead of being ignored.
 */

import { listOf, multiples, refuseOthers } from './hugging-face-fields.ts';
import { controlNetFromDiffusers, t2iAdapterFromDiffusers } from './hugging-face-control.ts';
import { ifUNetFromDiffusers, isIfUNet } from './hugging-face-if-unet.ts';
import { unetFromDiffusers } from './hugging-face-unet.ts';
import {
  bertEmbedderConfigSchema,
  clipTextConfigSchema,
  clipVisionConfigSchema,
  klConfigSchema,
  type NetworkConfig,
  openAiClipConfigSchema,
  ifSafetyCheckerConfigSchema,
  safetyCheckerConfigSchema,
  t5EncoderConfigSchema,
  taesdConfigSchema,
  vqConfigSchema,
} from './network-config.ts';
import { configError, isMapping, type Mapping, mapping, validated } from './validate.ts';

const readers: ReadonlyMap<string, (json: Mapping, what: string) => NetworkConfig> = new Map([
  ['CLIPTextModel', (json: Mapping, what: string) => clipText(json, what, false)],
  ['CLIPTextModelWithProjection', (json: Mapping, what: string) => clipText(json, what, true)],
  ['CLIPVisionModel', (json: Mapping, what: string) => clipVision(json, what, false)],
  ['CLIPVisionModelWithProjection', (json: Mapping, what: string) => clipVision(json, what, true)],
  ['CLIPModel', clip],
  ['LDMBertModel', ldmBert],
  ['T5EncoderModel', t5Encoder],
  ['T5ForConditionalGeneration', t5Encoder],
  ['StableDiffusionSafetyChecker', safetyChecker],
  ['IFSafetyChecker', ifSafetyChecker],
  [
    'UNet2DConditionModel',
    (json: Mapping, what: string) => (isIfUNet(json) ? ifUNetFromDiffusers : unetFromDiffusers)(json, what),
  ],
  ['UNet2DModel', unetFromDiffusers],
  ['ControlNetModel', controlNetFromDiffusers],
  ['T2IAdapter', t2iAdapterFromDiffusers],
  ['AutoencoderKL', autoencoder],
  ['VQModel', autoencoder],
  ['AutoencoderTiny', taesd],
]);

/** True for a Hugging Face configuration, as opposed to LDM's `target` and `params`. */
export function isHuggingFace(document: unknown): boolean {
  return (
    isMapping(document) &&
    document['target'] === undefined &&
    (['_class_name', 'architectures', 'model_type'] as const).some((name) => document[name] !== undefined)
  );
}

/** The network of a `config.json`. Throws `config-invalid`. */
export function huggingFaceNetwork(document: unknown, what: string): NetworkConfig {
  const json = mapping(document, what);
  const name = className(json);
  const read = name === undefined ? undefined : readers.get(name);
  if (!read) {
    const found = name ?? JSON.stringify(json['model_type'] ?? json['architectures'] ?? null);
    throw configError(
      `${what}: the model ${found} is not one we can build. Known are ${[...readers.keys()].join(', ')}.`,
    );
  }
  return read(json, what);
}

function className(json: Mapping): string | undefined {
  if (typeof json['_class_name'] === 'string') return json['_class_name'];
  const architectures = json['architectures'];
  if (Array.isArray(architectures) && typeof architectures[0] === 'string') return architectures[0];
  switch (json['model_type']) {
    case 'ldmbert':
      return 'LDMBertModel';
    case 'clip_text_model':
      return 'CLIPTextModel';
    case 'clip_vision_model':
      return 'CLIPVisionModel';
    case 't5':
      return 'T5EncoderModel';
    case 'clip':
      return json['text_config'] === undefined || json['text_config'] === null
        ? 'StableDiffusionSafetyChecker'
        : 'CLIPModel';
    default:
      return undefined;
  }
}

/** The fields of `json` that `schema` knows; null means absent, as in transformers. */
function known(schema: { readonly shape: object }, json: Mapping): Mapping {
  return Object.fromEntries(
    Object.entries(json).filter(([name, value]) => Object.hasOwn(schema.shape, name) && value !== null),
  );
}

/** A CLIPModel's configuration nests the text half. */
function clipText(json: Mapping, what: string, projected: boolean): NetworkConfig {
  const half = isMapping(json['text_config']) ? json['text_config'] : json;
  return validated(
    clipTextConfigSchema,
    { ...known(clipTextConfigSchema.unwrap(), half), kind: 'clip_text', with_projection: projected },
    what,
  );
}

function clipVision(json: Mapping, what: string, projected: boolean): NetworkConfig {
  const half = isMapping(json['vision_config']) ? json['vision_config'] : json;
  return validated(
    clipVisionConfigSchema,
    { ...known(clipVisionConfigSchema.unwrap(), half), kind: 'clip_vision', with_projection: projected },
    what,
  );
}

/** CLIPModel is OpenAI's CLIP under other names; `weights/layouts/openai-clip.ts` maps them. */
function clip(json: Mapping, what: string): NetworkConfig {
  const projection = json['projection_dim'] ?? 512;
  const text = clipText(json, `text_config of ${what}`, true);
  const vision = clipVision(json, `vision_config of ${what}`, true);
  if (text.kind !== 'clip_text' || vision.kind !== 'clip_vision')
    throw configError(`${what} has no text_config or no vision_config.`);
  const plain =
    text.hidden_act === 'quick_gelu' &&
    vision.hidden_act === 'quick_gelu' &&
    text.intermediate_size === 4 * text.hidden_size &&
    vision.intermediate_size === 4 * vision.hidden_size &&
    vision.num_attention_heads === Math.max(1, Math.floor(vision.hidden_size / 64));
  if (!plain)
    throw configError(
      `${what}: a CLIPModel is supported with quick_gelu, feed-forward layers four times as wide, and image heads of 64 channels.`,
    );
  return validated(
    openAiClipConfigSchema,
    {
      kind: 'openai_clip',
      embed_dim: projection,
      image_resolution: vision.image_size,
      vision_layers: vision.num_hidden_layers,
      vision_width: vision.hidden_size,
      vision_patch_size: vision.patch_size,
      context_length: text.max_position_embeddings,
      vocab_size: text.vocab_size,
      transformer_width: text.hidden_size,
      transformer_heads: text.num_attention_heads,
      transformer_layers: text.num_hidden_layers,
    },
    what,
  );
}

/** The decoder of a whole T5 is left out: models read the encoder alone. */
function t5Encoder(json: Mapping, what: string): NetworkConfig {
  return validated(
    t5EncoderConfigSchema,
    { ...known(t5EncoderConfigSchema.unwrap(), { feed_forward_proj: 'relu', ...json }), kind: 't5_encoder' },
    what,
  );
}

/** diffusers' form of LDM's BERT encoder: 8 heads of 64, and a feed-forward four times as wide as the model. */
function ldmBert(json: Mapping, what: string): NetworkConfig {
  const { d_model: width = 1280 } = json;
  refuseOthers(
    json,
    {
      encoder_attention_heads: [8],
      head_dim: [64],
      encoder_ffn_dim: typeof width === 'number' ? [4 * width] : [],
      activation_function: ['gelu'],
      scale_embedding: [false],
    },
    what,
  );
  return validated(
    bertEmbedderConfigSchema,
    {
      kind: 'bert',
      n_embed: width,
      n_layer: json['encoder_layers'] ?? 32,
      vocab_size: json['vocab_size'] ?? 30522,
      max_seq_len: json['max_position_embeddings'] ?? 77,
    },
    what,
  );
}

function safetyChecker(json: Mapping, what: string): NetworkConfig {
  const vision = clipVision(mapping(json['vision_config'], `vision_config of ${what}`), what, false);
  return validated(
    safetyCheckerConfigSchema,
    {
      kind: 'safety_checker',
      vision_config: vision,
      ...known(safetyCheckerConfigSchema.unwrap(), { projection_dim: json['projection_dim'] ?? null }),
    },
    what,
  );
}

/** Its heads are as wide as the image embedding. */
function ifSafetyChecker(json: Mapping, what: string): NetworkConfig {
  const vision_config = clipVision(mapping(json['vision_config'], `vision_config of ${what}`), what, true);
  return validated(ifSafetyCheckerConfigSchema, { kind: 'if_safety_checker', vision_config }, what);
}

/** diffusers' AutoencoderKL and VQModel. The block types state which levels have attention; LDM states it by resolution. */
function autoencoder(json: Mapping, what: string): NetworkConfig {
  const isVq = json['_class_name'] === 'VQModel';
  refuseOthers(
    json,
    { act_fn: ['silu'], use_quant_conv: [true], use_post_quant_conv: [true], shift_factor: [0], norm_type: ['group'] },
    what,
  );
  const widths = listOf(json, 'block_out_channels', 'number', what);
  const down = listOf(json, 'down_block_types', 'string', what);
  const up = listOf(json, 'up_block_types', 'string', what);
  // The nominal resolution only anchors attn_resolutions; a power of two keeps it whole at every level.
  const resolution = 256 * 2 ** Math.max(0, widths.length - 8);
  const attends = down.map((type) => attention(type, 'DownEncoderBlock2D', what));
  const upward = up.map((type) => attention(type, 'UpDecoderBlock2D', what)).toReversed();
  if (attends.length !== widths.length || attends.some((value, level) => value !== upward[level])) {
    throw configError(
      `${what}: encoder and decoder should have attention at the same levels (${down.join(', ')}; ${up.join(', ')}).`,
    );
  }
  const attnResolutions = attends.flatMap((value, level) => (value ? [resolution / 2 ** level] : []));
  const middle = json['mid_block_add_attention'] ?? true;
  if (middle === false && attnResolutions.length > 0)
    throw configError(`${what}: attention in the levels and none in the middle is not supported.`);
  const latent = json['latent_channels'] ?? (isVq ? 3 : 4);
  const ddconfig = {
    double_z: !isVq,
    z_channels: latent,
    resolution,
    in_channels: json['in_channels'] ?? 3,
    out_ch: json['out_channels'] ?? 3,
    ch: widths[0],
    ch_mult: multiples(widths, what),
    num_res_blocks: json['layers_per_block'] ?? 1,
    attn_resolutions: attnResolutions,
    attn_type: middle === false ? 'none' : 'vanilla',
    norm_num_groups: json['norm_num_groups'] ?? 32,
  };
  if (!isVq) return validated(klConfigSchema, { kind: 'kl', embed_dim: latent, ddconfig }, what);
  const codebook = { embed_dim: json['vq_embed_dim'] ?? latent, n_embed: json['num_vq_embeddings'] ?? 256 };
  return validated(vqConfigSchema, { kind: 'vq', ...codebook, ddconfig }, what);
}

function attention(type: string, plain: string, what: string): boolean {
  if (type === plain) return false;
  if (type === `Attn${plain}`) return true;
  throw configError(`${what}: blocks of type ${type} are not supported; ${plain} and Attn${plain} are.`);
}

function taesd(json: Mapping, what: string): NetworkConfig {
  refuseOthers(json, { act_fn: ['relu'], upsample_fn: ['nearest'], upsampling_scaling_factor: [2] }, what);
  return validated(taesdConfigSchema, { ...known(taesdConfigSchema.unwrap(), json), kind: 'taesd' }, what);
}
