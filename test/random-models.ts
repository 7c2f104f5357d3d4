/** Models of the LDM family with random weights, for tests: small, and of every kind of condition and first stage. */

import { openCheckpoint } from '../src/checkpoints/checkpoint.ts';
import type { Tokenizer } from '../src/conditioning/conditioner.ts';
import { conditionerParts } from '../src/config/conditioner-parts.ts';
import { modelSection } from '../src/config/ldm-config.ts';
import { type NetworkConfig, openAiClipConfigSchema } from '../src/config/network-config.ts';
import { wholeModel } from '../src/config/whole-model.ts';
import { parseYaml } from '../src/config/yaml.ts';
import type { Engine } from '../src/engine/engine.ts';
import { Model } from '../src/model/model.ts';
import { networkParameters } from '../src/models/index.ts';
import { TorchGenerator } from '../src/random/torch-generator.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { createBertTokenizer } from '../src/tokenizer/bert-tokenizer.ts';
import { createClipTokenizer } from '../src/tokenizer/clip-tokenizer.ts';
import { memoryWeights } from '../src/weights/memory-weights.ts';

/** LDM's YAML with the networks' sections put in. */
export function yaml(parts: {
  readonly params: string;
  readonly unet: string;
  readonly stage: string;
  readonly condition: string;
}): string {
  return `model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params: {linear_start: 0.0015, linear_end: 0.0195, timesteps: 1000, image_size: 8, ${parts.params}, unet_config: {target: ldm.modules.diffusionmodules.openaimodel.UNetModel, params: {image_size: 8, model_channels: 32, num_res_blocks: 1, attention_resolutions: [1], channel_mult: [1, 1], ${parts.unet}}}, first_stage_config: ${parts.stage}, cond_stage_config: ${parts.condition}}`;
}

export const kl =
  '{target: ldm.models.autoencoder.AutoencoderKL, params: {embed_dim: 4, lossconfig: {target: torch.nn.Identity}, ddconfig: {double_z: true, z_channels: 4, resolution: 16, in_channels: 3, out_ch: 3, ch: 32, ch_mult: [1, 1], num_res_blocks: 1, attn_resolutions: [], dropout: 0.0}}}';
export const vq =
  '{target: ldm.models.autoencoder.VQModelInterface, params: {embed_dim: 3, n_embed: 64, lossconfig: {target: torch.nn.Identity}, ddconfig: {double_z: false, z_channels: 3, resolution: 16, in_channels: 3, out_ch: 3, ch: 32, ch_mult: [1, 1], num_res_blocks: 1, attn_resolutions: [], dropout: 0.0}}}';
export const vocabulary = [
  '[PAD]',
  '[UNK]',
  '[CLS]',
  '[SEP]',
  'a',
  'red',
  'house',
  ...Array.from({ length: 93 }, (_, i) => `[unused${i}]`),
].join('\n');

/** Weights from a fixed seed: small, and norms near one. */
export function randomWeights(network: NetworkConfig, prefix: string, generator: TorchGenerator): [string, Tensor][] {
  return networkParameters(network).map(({ name, shape }) => {
    const values = generator.randn(shape);
    const fan = Math.max(
      1,
      shape.slice(1).reduce((product, size) => product * size, 1),
    );
    const isNorm = shape.length === 1 && name.endsWith('weight');
    const data = values.data.map((value) =>
      isNorm ? 1 + 0.02 * value : shape.length > 1 ? value / Math.sqrt(fan) : 0.02 * value,
    );
    return [prefix + name, { ...values, data }];
  });
}

/** The tensors of a whole file, by the configuration. */
export function randomTensors(text: string): ReadonlyMap<string, Tensor> {
  const config = wholeModel(modelSection(parseYaml(text, 'test.yaml'), 'test'), 'test');
  const generator = new TorchGenerator(5);
  const isComposed = typeof config.cond_stage_config === 'object' && config.cond_stage_config?.kind === 'composed';
  return new Map<string, Tensor>([
    ...randomWeights(config.unet_config, 'model.diffusion_model.', generator),
    ...randomWeights(config.first_stage_config, 'first_stage_model.', generator),
    ...[...conditionerParts(config.cond_stage_config).values()].flatMap((network, i) =>
      randomWeights(network, isComposed ? `conditioner.embedders.${i}.` : 'cond_stage_model.', generator),
    ),
  ]);
}

function tokenizerOf({ kind, ...config }: NetworkConfig): Tokenizer | undefined {
  if (kind === 'bert' && (!('use_tokenizer' in config) || config.use_tokenizer))
    return createBertTokenizer({ vocab: vocabulary });
  return kind === 'clip_text' ? createClipTokenizer({ vocabSize: 600 }) : undefined;
}

export async function randomModel(text: string, engine: Engine, name = 'random.ckpt'): Promise<Model> {
  const document = parseYaml(text, 'test.yaml');
  const checkpoint = await openCheckpoint(memoryWeights(randomTensors(text), name), { config: document });
  const tokenizers = [...conditionerParts(checkpoint.config.cond_stage_config)].flatMap(([part, network]) => {
    const tokenizer = tokenizerOf(network);
    return tokenizer ? [[part, tokenizer] as const] : [];
  });
  return new Model({ engine, checkpoint, tokenizers: new Map(tokenizers) });
}

const sgmText = (name: string, params: string): string =>
  `{input_key: txt, target: sgm.modules.encoders.modules.${name}, params: {vocab_size: 600, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2, projection_dim: 32, eos_token_id: 2, ${params}}}`;
const sgmSize = (key: string): string =>
  `{input_key: ${key}, target: sgm.modules.encoders.modules.ConcatTimestepEmbedderND, params: {outdim: 16}}`;
const bigG = sgmText(
  'FrozenOpenCLIPEmbedder2',
  'arch: ViT-H-14, layer: penultimate, always_return_pooled: true, legacy: false',
);

/** sgm's YAML of a small SDXL. */
function sdxlYaml(embedders: readonly string[], unet: string): string {
  return `model:
  target: sgm.models.diffusion.DiffusionEngine
  params: {scale_factor: 0.13025, denoiser_config: {target: sgm.modules.diffusionmodules.denoiser.DiscreteDenoiser, params: {scaling_config: {target: sgm.modules.diffusionmodules.denoiser_scaling.EpsScaling}}}, network_config: {target: sgm.modules.diffusionmodules.openaimodel.UNetModel, params: {num_classes: sequential, in_channels: 4, out_channels: 4, model_channels: 32, attention_resolutions: [2], num_res_blocks: 1, channel_mult: [1, 2], num_head_channels: 16, use_linear_in_transformer: true, transformer_depth: 1, ${unet}}}, conditioner_config: {target: sgm.modules.GeneralConditioner, params: {emb_models: [${embedders.join(', ')}]}}, first_stage_config: ${kl}}`;
}

/** SDXL with two text encoders, and its refiner with one and an aesthetic score. */
export const sdxlModel = sdxlYaml(
  [
    sgmText('FrozenCLIPEmbedder', 'layer: hidden, layer_idx: 1'),
    bigG,
    ...['original_size_as_tuple', 'crop_coords_top_left', 'target_size_as_tuple'].map(sgmSize),
  ],
  'adm_in_channels: 128, context_dim: 64',
);
export const refinerModel = sdxlYaml(
  [bigG, ...['original_size_as_tuple', 'crop_coords_top_left', 'aesthetic_score'].map(sgmSize)],
  'adm_in_channels: 112, context_dim: 32',
);

/** Unconditional, with a VQ first stage (as ldm-celebahq). */
export const vqModel = yaml({
  params: 'channels: 3',
  unet: 'in_channels: 3, out_channels: 3, num_head_channels: 16',
  stage: vq,
  condition: '__is_unconditional__',
});

/** Class-conditional by cross attention (as cin256). */
export const classModel = yaml({
  params: 'channels: 3, conditioning_key: crossattn, cond_stage_key: class_label',
  unet: 'in_channels: 3, out_channels: 3, num_heads: 1, use_spatial_transformer: true, transformer_depth: 1, context_dim: 32',
  stage: vq,
  condition:
    '{target: ldm.modules.encoders.modules.ClassEmbedder, params: {embed_dim: 32, n_classes: 11, key: class_label}}',
});

/** Enlarges pictures four times by the sides of its first stage, here two (as bsr_sr). */
export const superResolutionModel = yaml({
  params: 'channels: 3, concat_mode: true, cond_stage_key: LR_image',
  unet: 'in_channels: 6, out_channels: 3, num_head_channels: 16',
  stage: vq,
  condition: '{target: torch.nn.Identity}',
});

/** Pictures of maps of five classes (as semantic_synthesis256). */
export const semanticModel = yaml({
  params: 'channels: 3, concat_mode: true, cond_stage_key: segmentation',
  unet: 'in_channels: 6, out_channels: 3, num_head_channels: 16',
  stage: vq,
  condition:
    '{target: ldm.modules.encoders.modules.SpatialRescaler, params: {n_stages: 1, in_channels: 5, out_channels: 3}}',
});

/** Pictures of up to three boxes (as layout2img-openimages256). */
export const layoutModel = yaml({
  params: 'channels: 3, conditioning_key: crossattn, cond_stage_key: coordinates_bbox',
  unet: 'in_channels: 3, out_channels: 3, num_heads: 1, use_spatial_transformer: true, transformer_depth: 1, context_dim: 32',
  stage: vq,
  condition:
    '{target: ldm.modules.encoders.modules.BERTEmbedder, params: {n_embed: 32, n_layer: 1, vocab_size: 64, max_seq_len: 11, use_tokenizer: false}}',
});

/** OpenAI's CLIP with one layer a side. */
export const clip = openAiClipConfigSchema.parse({
  kind: 'openai_clip',
  embed_dim: 32,
  image_resolution: 32,
  vision_layers: 1,
  vision_width: 64,
  vision_patch_size: 16,
  context_length: 77,
  vocab_size: 600,
  transformer_width: 64,
  transformer_heads: 1,
  transformer_layers: 1,
});
