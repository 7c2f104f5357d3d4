/** Tiny folders in the layouts of diffusers' models of LDM, with random weights, and the writers of such files. */

import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { diffusersNetwork } from '../src/cli/convert-files.ts';
import { huggingFaceNetwork } from '../src/config/hugging-face-network.ts';
import { writeFileAtomic } from '../src/files/write-file-node.ts';
import { writeSafetensors } from '../src/formats/safetensors-write.ts';
import { nodeImageCodec } from '../src/image/codec/codec-node.ts';
import { createImage } from '../src/image/image.ts';
import { TorchGenerator } from '../src/random/torch-generator.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { memoryWeights } from '../src/weights/memory-weights.ts';
import type { WeightSource } from '../src/weights/weight-source.ts';
import { randomWeights, vocabulary } from './random-models.ts';
import { reference } from './reference.ts';

/** Writes what a command needs into the folder, under the names of the command. Resolves to further words for the tiny model. */
export type Write = (folder: string, name: string) => Promise<readonly string[]>;

async function writeSource(path: string, source: WeightSource): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  await writeFileAtomic(
    path,
    writeSafetensors(source.entries.values(), (entry) => source.read(entry.name)),
  );
}

export const writeTensors = (path: string, tensors: ReadonlyMap<string, Tensor>): Promise<void> =>
  writeSource(path, memoryWeights(tensors));

/** A picture of `side` pixels with a gradient, or with `value` alone. */
export async function writePicture(path: string, side: number, value?: number): Promise<void> {
  const image = createImage(side, side, 3);
  for (let i = 0; i < image.data.length; i++) image.data[i] = value ?? (i * 5) % 256;
  writeFileSync(path, await nodeImageCodec.encode(image, { format: 'png' }));
}

async function writeNetwork(folder: string, config: object, seed: number): Promise<void> {
  const network = huggingFaceNetwork(config, folder);
  const weights = memoryWeights(new Map(randomWeights(network, '', new TorchGenerator(seed))));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  await writeSource(join(folder, 'diffusion_pytorch_model.safetensors'), diffusersNetwork(weights, network));
}

export const folderUNet = (inChannels: number): object => ({
  _class_name: 'UNet2DModel',
  sample_size: 8,
  in_channels: inChannels,
  out_channels: 3,
  layers_per_block: 1,
  block_out_channels: [32, 64],
  norm_num_groups: 32,
  down_block_types: ['DownBlock2D', 'AttnDownBlock2D'],
  up_block_types: ['AttnUpBlock2D', 'UpBlock2D'],
  attention_head_dim: 8,
});
const folderStage = {
  _class_name: 'VQModel',
  in_channels: 3,
  out_channels: 3,
  down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
  up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
  block_out_channels: [32, 64],
  layers_per_block: 1,
  latent_channels: 3,
  sample_size: 16,
  num_vq_embeddings: 20,
  norm_num_groups: 32,
  vq_embed_dim: 3,
};

/** A folder of diffusers: `parts` by their names in it, with their classes. */
export const diffusersFolder =
  (pipeline: string, unet: object): Write =>
  async (folder) => {
    const model = join(folder, 'FOLDER');
    const json = (path: string, document: object): void => {
      mkdirSync(dirname(join(model, path)), { recursive: true });
      writeFileSync(join(model, path), JSON.stringify(document));
    };
    for (const [part, config] of Object.entries({ unet, vqvae: folderStage }))
      await writeNetwork(join(model, part), config, 6);
    json('scheduler/scheduler_config.json', {
      _class_name: 'DDIMScheduler',
      beta_start: 0.0015,
      beta_end: 0.0155,
      beta_schedule: 'scaled_linear',
      clip_sample: false,
      set_alpha_to_one: false,
    });
    json('model_index.json', {
      _class_name: pipeline,
      scheduler: ['diffusers', 'DDIMScheduler'],
      unet: ['diffusers', 'UNet2DModel'],
      vqvae: ['diffusers', 'VQModel'],
    });
    await writePicture(join(folder, 'small.png'), 32);
    return [];
  };

/** `LDMTextToImagePipeline`, with the recorded `LDMBertModel`. */
export const textFolder: Write = async (folder, name) => {
  await diffusersFolder('LDMTextToImagePipeline', {
    ...folderUNet(4),
    _class_name: 'UNet2DConditionModel',
    out_channels: 4,
    cross_attention_dim: 4,
    down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D'],
    up_block_types: ['CrossAttnUpBlock2D', 'UpBlock2D'],
  })(folder, name);
  const model = join(folder, 'FOLDER');
  const { num_vq_embeddings: _, vq_embed_dim: __, ...stage } = folderStage;
  await writeNetwork(join(model, 'vqvae'), { ...stage, _class_name: 'AutoencoderKL', latent_channels: 4 }, 7);
  cpSync(reference('diffusers/ldm-bert/bert'), join(model, 'bert'), { recursive: true });
  mkdirSync(join(model, 'tokenizer'));
  writeFileSync(join(model, 'tokenizer/vocab.txt'), vocabulary);
  const index = {
    _class_name: 'LDMTextToImagePipeline',
    bert: ['latent_diffusion', 'LDMBertModel'],
    scheduler: ['diffusers', 'DDIMScheduler'],
    tokenizer: ['transformers', 'BertTokenizer'],
    unet: ['diffusers', 'UNet2DConditionModel'],
    vqvae: ['diffusers', 'AutoencoderKL'],
  };
  writeFileSync(join(model, 'model_index.json'), JSON.stringify(index));
  return ['--W', '16', '--H', '16'];
};
