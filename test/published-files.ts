/** Tiny files and folders in the layouts of published models, with random weights, and what their commands read besides. */

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ldmBertMap } from '../src/checkpoints/layouts/ldm-bert.ts';
import { renamed } from '../src/checkpoints/rename.ts';
import { diffusersNetwork } from '../src/cli/convert-files.ts';
import { admClassifier, admFlags, admUNet } from '../src/config/adm-flags.ts';
import { admFlagsFor, parseAdmFlags } from '../src/config/adm-published.ts';
import { huggingFaceNetwork } from '../src/config/hugging-face-network.ts';
import { openAiClipConfigSchema } from '../src/config/network-config.ts';
import { writeFileAtomic } from '../src/files/write-file-node.ts';
import { writeNpz } from '../src/formats/npz.ts';
import { writeSafetensors } from '../src/formats/safetensors-write.ts';
import { nodeImageCodec } from '../src/image/codec/codec-node.ts';
import { createImage } from '../src/image/image.ts';
import { TorchGenerator } from '../src/random/torch-generator.ts';
import { tensor, type Tensor } from '../src/tensor/tensor.ts';
import { memoryWeights } from '../src/weights/memory-weights.ts';
import type { WeightSource } from '../src/weights/weight-source.ts';
import { ifStageOne, ifStageTwo, writeIfFolder } from './if-models.ts';
import {
  classModel,
  kl,
  layoutModel,
  randomTensors,
  randomWeights,
  semanticModel,
  superResolutionModel,
  vocabulary,
  vq,
  vqModel,
  yaml,
} from './random-models.ts';
import { reference } from './reference.ts';

/** Writes what a command needs into the folder, under the names of the command. Resolves to further words for the tiny model. */
type Write = (folder: string, name: string) => Promise<readonly string[]>;

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
async function writePicture(path: string, side: number, value?: number): Promise<void> {
  const image = createImage(side, side, 3);
  for (let i = 0; i < image.data.length; i++) image.data[i] = value ?? (i * 5) % 256;
  writeFileSync(path, await nodeImageCodec.encode(image, { format: 'png' }));
}

/** LDM's file and its YAML. */
const latent =
  (document: string, beside?: (folder: string) => Promise<void>): Write =>
  async (folder) => {
    writeFileSync(join(folder, 'model.yaml'), document);
    await writeTensors(join(folder, 'model.ckpt'), randomTensors(document));
    await beside?.(folder);
    return [];
  };

const recordedModel =
  (name: string, beside?: (folder: string) => Promise<void>): Write =>
  async (folder) => {
    const from = dirname(reference(`diffusion/pipelines/${name}.ckpt`));
    copyFileSync(join(from, `${name}.ckpt`), join(folder, 'FILE'));
    copyFileSync(join(from, `${name}.yaml`), join(folder, 'FILE.yaml'));
    mkdirSync(join(folder, 'tiny-clip'));
    copyFileSync(join(from, 'tiny-clip/config.json'), join(folder, 'tiny-clip/config.json'));
    await beside?.(folder);
    return [];
  };

const text = (params: string): string =>
  yaml({
    params: 'channels: 4, conditioning_key: crossattn, use_ema: false',
    unet: 'in_channels: 4, out_channels: 4, num_heads: 4, use_spatial_transformer: true, transformer_depth: 1, context_dim: 32',
    stage: kl,
    condition: params,
  });

const bert =
  '{target: ldm.modules.encoders.modules.BERTEmbedder, params: {n_embed: 32, n_layer: 1, vocab_size: 100, max_seq_len: 77}}';

const unconditionalKl = yaml({
  params: 'channels: 4',
  unet: 'in_channels: 4, out_channels: 4, num_head_channels: 16',
  stage: kl,
  condition: '__is_unconditional__',
});

/** `inpainting_big`: latents of the masked picture and the mask behind those of the picture. */
export const maskModel = yaml({
  params: 'channels: 3, use_ema: false, concat_mode: true',
  unet: 'in_channels: 7, out_channels: 3, num_heads: 4',
  stage: vq,
  condition: '__is_first_stage__',
});

const clip = openAiClipConfigSchema.parse({
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

async function writeRetrieval(folder: string): Promise<void> {
  const generator = new TorchGenerator(4);
  await writeTensors(join(folder, 'ViT-L-14.pt'), new Map(randomWeights(clip, '', generator)));
  mkdirSync(join(folder, 'DIR'));
  await writeFileAtomic(join(folder, 'DIR/part.npz'), [writeNpz({ embedding: generator.randn([12, 32]) })]);
}

const folderUNet = (inChannels: number): object => ({
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
const diffusersFolder =
  (pipeline: string, unet: object): Write =>
  async (folder) => {
    const model = join(folder, 'FOLDER');
    const json = (path: string, document: object): void => {
      mkdirSync(dirname(join(model, path)), { recursive: true });
      writeFileSync(join(model, path), JSON.stringify(document));
    };
    for (const [part, config] of Object.entries({ unet, vqvae: folderStage })) {
      const network = huggingFaceNetwork(config, part);
      const weights = memoryWeights(new Map(randomWeights(network, '', new TorchGenerator(6))));
      json(`${part}/config.json`, config);
      await writeSource(join(model, part, 'diffusion_pytorch_model.safetensors'), diffusersNetwork(weights, network));
    }
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

const ifStages: Write = async (folder) => {
  for (const [name, stage] of [
    ['IF-I', ifStageOne],
    ['IF-II', ifStageTwo],
  ] as const) {
    mkdirSync(join(folder, name));
    await writeIfFolder(join(folder, name), stage);
  }
  return ['--enlarge-steps', '1', '--no-safety'];
};

/** `LDMTextToImagePipeline`. */
const bertFolder: Write = async (folder, name) => {
  await diffusersFolder('LDMTextToImagePipeline', {
    ...folderUNet(4),
    _class_name: 'UNet2DConditionModel',
    out_channels: 4,
    cross_attention_dim: 8,
    down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D'],
    up_block_types: ['CrossAttnUpBlock2D', 'UpBlock2D'],
  })(folder, name);
  const model = join(folder, 'FOLDER');
  const { num_vq_embeddings: _, vq_embed_dim: __, ...stage } = folderStage;
  const parts = {
    vqvae: { ...stage, _class_name: 'AutoencoderKL', latent_channels: 4 },
    bert: {
      architectures: ['LDMBertModel'],
      model_type: 'ldmbert',
      d_model: 8,
      encoder_ffn_dim: 32,
      encoder_layers: 2,
      vocab_size: 100,
    },
  };
  for (const [part, config] of Object.entries(parts)) {
    const network = huggingFaceNetwork(config, part);
    const own = memoryWeights(new Map(randomWeights(network, '', new TorchGenerator(7))));
    mkdirSync(join(model, part), { recursive: true });
    writeFileSync(join(model, part, 'config.json'), JSON.stringify(config));
    await writeSource(
      join(model, part, part === 'bert' ? 'pytorch_model.bin' : 'diffusion_pytorch_model.safetensors'),
      network.kind === 'bert' ? renamed(own, ldmBertMap(network), 'a-to-b') : diffusersNetwork(own, network),
    );
  }
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

/** Published flags with a smaller network for smaller pictures. */
const smaller =
  '--num_channels 32 --num_res_blocks 1 --num_head_channels 32 --channel_mult 1,1 --attention_resolutions 16 --num_classes 5';
const smallSides = (name: string): string =>
  name.endsWith('_upsampler') ? '--large_size 32 --small_size 8' : '--image_size 32';
const smallerClassifier =
  '--classifier_width 64 --classifier_depth 1 --classifier_channel_mult 1,1 --classifier_attention_resolutions 16';

const adm: Write = async (folder, file) => {
  const size = /^(.*)_classifier\.pt$/.exec(file)?.[1];
  const model = size === undefined ? file.replace(/\.pt$/, '') : `${size}_diffusion`;
  const text_ = `${smallSides(model)} ${smaller}${size === undefined ? '' : ` ${smallerClassifier}`}`;
  const flags = admFlagsFor(`${model}.pt`, parseAdmFlags(text_));
  const generator = new TorchGenerator(1);
  await writeTensors(join(folder, `${model}.pt`), new Map(randomWeights(admUNet(flags), '', generator)));
  if (size !== undefined)
    await writeTensors(join(folder, file), new Map(randomWeights(admClassifier(admFlags(flags)), '', generator)));
  const small = tensor(
    'uint8',
    [1, 8, 8, 3],
    Uint8Array.from({ length: 192 }, (_, i) => (i * 7) % 256),
  );
  writeFileSync(join(folder, 'small.npz'), writeNpz({ arr_0: small }));
  return ['--flags', text_];
};

const masked = async (folder: string): Promise<void> => {
  await writePicture(join(folder, 'A'), 64);
  await writePicture(join(folder, 'B'), 64, 255);
};

const files: Readonly<Record<string, Write>> = {
  'sd-v1-1 … sd-v1-5': recordedModel('tiny'),
  'sd-v1-5-inpainting': recordedModel('tiny-inpaint', masked),
  celeba256: latent(vqModel),
  ffhq256: latent(vqModel),
  lsun_beds256: latent(vqModel),
  lsun_churches256: latent(unconditionalKl),
  cin256: latent(classModel.replace('n_classes: 11', 'n_classes: 1000')),
  'cin256-v2': latent(classModel.replace('n_classes: 11', 'n_classes: 1001')),
  text2img256: latent(text(bert), async (folder) => writeFileSync(join(folder, 'vocab.txt'), vocabulary)),
  'text2img-large': latent(text(bert), async (folder) => writeFileSync(join(folder, 'vocab.txt'), vocabulary)),
  bsr_sr: latent(superResolutionModel, (folder) => writePicture(join(folder, 'small.png'), 16)),
  semantic_synthesis256: latent(semanticModel, (folder) => writePicture(join(folder, 'map.png'), 16, 3)),
  semantic_synthesis512: latent(semanticModel, (folder) => writePicture(join(folder, 'map.png'), 16, 3)),
  'layout2img-openimages256': latent(
    layoutModel.replace('vocab_size: 64, max_seq_len: 11', 'vocab_size: 8192, max_seq_len: 92'),
  ),
  inpainting_big: latent(maskModel, async (folder) => {
    mkdirSync(join(folder, 'FOLDER'));
    await writePicture(join(folder, 'FOLDER/a.png'), 16);
    await writePicture(join(folder, 'FOLDER/a_mask.png'), 16, 255);
  }),
  rdm768x768: latent(text('{target: torch.nn.Identity}'), writeRetrieval),
  'CompVis/ldm-text2im-large-256': bertFolder,
  'CompVis/ldm-celebahq-256': diffusersFolder('LDMPipeline', folderUNet(3)),
  'CompVis/ldm-super-resolution-4x-openimages': diffusersFolder('LDMSuperResolutionPipeline', folderUNet(6)),
  'model-100.pt': async (folder, name) => {
    copyFileSync(reference('lucid/model-1.pt'), join(folder, name));
    return [];
  },
  'IF-I-M': ifStages,
  'IF-I-L': ifStages,
  'IF-I-XL': ifStages,
};

/** Throws for a model that has no tiny one here. */
export async function writePublished(folder: string, name: string): Promise<readonly string[]> {
  const write = files[name] ?? (name.endsWith('.pt') ? adm : undefined);
  if (!write) throw new Error(`There is no tiny model for ${name}.`);
  return write(folder, name);
}
