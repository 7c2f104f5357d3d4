/** Tiny stages of DeepFloyd IF with random weights: in memory, and as diffusers folders. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { diffusersCheckpoint, type DiffusersComponent } from '../src/checkpoints/diffusers.ts';
import { tokenizersOf } from '../src/conditioning/conditioners.ts';
import { huggingFaceNetwork } from '../src/config/hugging-face-network.ts';
import type { Engine } from '../src/engine/engine.ts';
import { diffusersNetwork } from '../src/cli/convert-files.ts';
import { writeSafetensors } from '../src/formats/safetensors-write.ts';
import { Model } from '../src/model/model.ts';
import { tensor, type Tensor } from '../src/tensor/tensor.ts';
import { memoryWeights } from '../src/weights/memory-weights.ts';
import { randomWeights } from './model/random-model.ts';

const text = {
  architectures: ['T5EncoderModel'],
  d_model: 32,
  d_kv: 8,
  num_heads: 4,
  num_layers: 1,
  d_ff: 64,
  vocab_size: 400,
  feed_forward_proj: 'gated-gelu',
};

const unet = {
  _class_name: 'UNet2DConditionModel',
  act_fn: 'gelu',
  addition_embed_type: 'text',
  addition_embed_type_num_heads: 2,
  attention_head_dim: 16,
  block_out_channels: [32, 64],
  cross_attention_dim: 32,
  cross_attention_norm: 'group_norm',
  down_block_types: ['ResnetDownsampleBlock2D', 'SimpleCrossAttnDownBlock2D'],
  encoder_hid_dim: 32,
  in_channels: 3,
  layers_per_block: 1,
  mid_block_type: 'UNetMidBlock2DSimpleCrossAttn',
  out_channels: 6,
  resnet_time_scale_shift: 'scale_shift',
  sample_size: 16,
  time_embedding_dim: 64,
  up_block_types: ['SimpleCrossAttnUpBlock2D', 'ResnetUpsampleBlock2D'],
};

const safety = {
  architectures: ['IFSafetyChecker'],
  vision_config: {
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    image_size: 32,
    patch_size: 8,
    projection_dim: 16,
  },
};

const noising = { num_train_timesteps: 1000, beta_schedule: 'squaredcos_cap_v2' };

export interface IfStage {
  readonly pipeline: string;
  readonly label: string;
  readonly unet: object;
  readonly scheduler: object;
  readonly seed: number;
}

function scheduler(maximum: number): object {
  return {
    _class_name: 'DDPMScheduler',
    ...noising,
    variance_type: 'learned_range',
    thresholding: true,
    dynamic_thresholding_ratio: 0.95,
    sample_max_value: maximum,
  };
}

export const ifStageOne: IfStage = {
  pipeline: 'IFPipeline',
  label: 'if-one',
  unet,
  scheduler: scheduler(1.5),
  seed: 3,
};

export const ifStageTwo: IfStage = {
  pipeline: 'IFSuperResolutionPipeline',
  label: 'if-two',
  unet: {
    ...unet,
    class_embed_type: 'timestep',
    in_channels: 6,
    mid_block_scale_factor: 1.4142271248762552,
    only_cross_attention: true,
    resnet_out_scale_factor: 1.4142271248762552,
    resnet_skip_time_act: true,
    sample_size: 32,
    time_embedding_act_fn: 'gelu',
  },
  scheduler: scheduler(1),
  seed: 4,
};

const tokenizerFile = join(import.meta.dirname, '../fixtures/tokenizer/sentencepiece/unigram-bytes.model');

function component(config: object, seed: number): DiffusersComponent {
  const network = huggingFaceNetwork(config, 'config.json');
  return { source: diffusersNetwork(randomWeights(network, seed), network), config };
}

/** A red square as the visible mark. */
function mark(): Tensor {
  const data = new Float32Array(62 * 62 * 4);
  for (let i = 0; i < data.length; i += 4) data.set([255, 0, 0, 255], i);
  return tensor('float32', [62, 62, 4], data);
}

const withText = (stage: IfStage) => stage.pipeline === 'IFPipeline';

/** A model of a stage; the second has no text encoder. */
export async function ifModel(engine: Engine, stage: IfStage): Promise<Model> {
  const checkpoint = diffusersCheckpoint({
    label: stage.label,
    unet: component(stage.unet, stage.seed),
    ...(withText(stage) ? { text_encoder: component(text, 7) } : {}),
    scheduler: stage.scheduler,
    image_scheduler: noising,
  });
  const files = { sentencePiece: { model: readFileSync(tokenizerFile) } };
  return new Model({ engine, checkpoint, tokenizers: await tokenizersOf(checkpoint.config, files) });
}

async function writeWeights(path: string, source: DiffusersComponent['source']): Promise<void> {
  const parts: Uint8Array[] = [];
  for await (const part of writeSafetensors([...source.entries.values()], ({ name }) => source.read(name)))
    parts.push(part);
  writeFileSync(path, Buffer.concat(parts));
}

/** Writes a stage as a diffusers folder. */
export async function writeIfFolder(folder: string, stage: IfStage): Promise<void> {
  const json = (path: string, document: object): void => writeFileSync(join(folder, path), JSON.stringify(document));
  const part = async (name: string, file: string, { source, config }: DiffusersComponent): Promise<void> => {
    mkdirSync(join(folder, name), { recursive: true });
    if (config) json(`${name}/config.json`, config);
    await writeWeights(join(folder, name, file), source);
  };
  const file = 'diffusion_pytorch_model.safetensors';
  await part('unet', file, component(stage.unet, stage.seed));
  if (withText(stage)) {
    await part('text_encoder', 'model.safetensors', component(text, 7));
    mkdirSync(join(folder, 'tokenizer'));
    writeFileSync(join(folder, 'tokenizer/spiece.model'), readFileSync(tokenizerFile));
  }
  await part('safety_checker', 'model.safetensors', component(safety, 9));
  await part('watermarker', file, { source: memoryWeights(new Map([['watermark_image', mark()]])) });
  for (const name of ['scheduler', 'image_noising_scheduler']) mkdirSync(join(folder, name));
  json('scheduler/scheduler_config.json', stage.scheduler);
  json('image_noising_scheduler/scheduler_config.json', noising);
  json('model_index.json', {
    _class_name: stage.pipeline,
    safety_checker: ['deepfloyd_if', 'IFSafetyChecker'],
    scheduler: ['diffusers', 'DDPMScheduler'],
    text_encoder: ['transformers', 'T5EncoderModel'],
    tokenizer: ['transformers', 'T5Tokenizer'],
    unet: ['diffusers', 'UNet2DConditionModel'],
    watermarker: ['deepfloyd_if', 'IFWatermarker'],
  });
}
