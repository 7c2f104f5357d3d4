/** Models of the LDM family with random weights, for tests: small, and of every kind of condition and first stage. */

import { openCheckpoint } from '../src/checkpoints/checkpoint.ts';
import { conditionerParts } from '../src/config/conditioner-parts.ts';
import { ldmModel, modelSection } from '../src/config/ldm-config.ts';
import type { NetworkConfig } from '../src/config/network-config.ts';
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
const vocabulary = [
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
function randomWeights(network: NetworkConfig, prefix: string, generator: TorchGenerator): [string, Tensor][] {
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

export async function randomModel(text: string, engine: Engine): Promise<Model> {
  const document = parseYaml(text, 'test.yaml');
  const config = ldmModel(modelSection(document, 'test'), 'test');
  const generator = new TorchGenerator(5);
  const stage = config.cond_stage_config;
  const tensors = new Map<string, Tensor>([
    ...randomWeights(config.unet_config, 'model.diffusion_model.', generator),
    ...randomWeights(config.first_stage_config, 'first_stage_model.', generator),
    ...[...conditionerParts(stage).values()].flatMap((network) =>
      randomWeights(network, 'cond_stage_model.', generator),
    ),
  ]);
  const checkpoint = await openCheckpoint(memoryWeights(tensors, 'random.ckpt'), { config: document });
  const kind = typeof stage === 'object' ? stage?.kind : undefined;
  const tokenizer =
    kind === 'bert'
      ? createBertTokenizer({ vocab: vocabulary })
      : kind === 'clip_text'
        ? createClipTokenizer({ vocabSize: 600 })
        : undefined;
  return new Model({ engine, checkpoint, tokenizers: new Map(tokenizer ? [['cond_stage', tokenizer]] : []) });
}

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
