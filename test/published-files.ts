/** Tiny files and folders in the layouts of published models, with random weights, and what their commands read besides. */

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { admClassifier, admFlags, admUNet } from '../src/config/adm-flags.ts';
import { admFlagsFor, parseAdmFlags } from '../src/config/adm-published.ts';
import { writeFileAtomic } from '../src/files/write-file-node.ts';
import { writeNpz } from '../src/formats/npz.ts';
import { TorchGenerator } from '../src/random/torch-generator.ts';
import { tensor } from '../src/tensor/tensor.ts';
import { ifStageOne, ifStageTwo, writeIfFolder } from './if-models.ts';
import {
  diffusersFolder,
  folderUNet,
  textFolder,
  type Write,
  writePicture,
  writeTensors,
} from './published-folders.ts';
import {
  clip,
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

async function writeRetrieval(folder: string): Promise<void> {
  const generator = new TorchGenerator(4);
  await writeTensors(join(folder, 'ViT-L-14.pt'), new Map(randomWeights(clip, '', generator)));
  mkdirSync(join(folder, 'DIR'));
  await writeFileAtomic(join(folder, 'DIR/part.npz'), [writeNpz({ embedding: generator.randn([12, 32]) })]);
}

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
  'CompVis/ldm-text2im-large-256': textFolder,
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
