/** Block of docs/reference/models.md: published models, the command that uses each, and what was checked. */

import { commands } from '../../src/cli/commands.ts';
import { publishedAdmFlags, publishedAdmModels } from '../../src/config/adm-published.ts';
import { type Block, code, table } from './block.ts';

export interface Published {
  /** Names, separated by commas. */
  readonly file: string;
  readonly what: string;
  readonly command: string;
  readonly checked: string;
}

const recorded = 'recordings of the original with small random weights';
const names = `names and shapes of the published file; ${recorded}`;

const models: readonly Published[] = [
  { file: 'sd-v1-1 … sd-v1-5', what: 'text', command: 'sd txt2img "…" --ckpt FILE', checked: names },
  {
    file: 'sd-v1-5-inpainting',
    what: 'text, mask',
    command: 'sd inpaint "…" --init-img A --mask B --ckpt FILE',
    checked: recorded,
  },
  {
    file: 'celeba256, ffhq256, lsun_beds256, lsun_churches256',
    what: 'unconditional latents',
    command: 'sd sample --model model.ckpt --count N',
    checked: recorded,
  },
  {
    file: 'cin256, cin256-v2',
    what: 'classes',
    command: 'sd sample --model model.ckpt --count N --class 207',
    checked: recorded,
  },
  {
    file: 'text2img256, text2img-large',
    what: 'text by BERT',
    command: 'sd txt2img "…" --ckpt model.ckpt --vocab vocab.txt',
    checked: recorded,
  },
  {
    file: 'bsr_sr',
    what: 'super-resolution, four times',
    command: 'sd img2img --init-img small.png --ckpt model.ckpt',
    checked: recorded,
  },
  {
    file: 'semantic_synthesis256, semantic_synthesis512',
    what: 'map of classes',
    command: 'sd img2img --init-img map.png --ckpt model.ckpt',
    checked: recorded,
  },
  {
    file: 'layout2img-openimages256',
    what: 'boxes',
    command: 'sd txt2img --box 12,0.1,0.2,0.5,0.5 --ckpt model.ckpt',
    checked: recorded,
  },
  {
    file: 'inpainting_big',
    what: 'mask',
    command: 'sd inpaint --indir FOLDER --outdir OUT --ckpt model.ckpt',
    checked: recorded,
  },
  {
    file: 'rdm768x768',
    what: 'text and neighbours',
    command: 'sd knn2img "…" --ckpt model.ckpt --clip ViT-L-14.pt --database DIR',
    checked: recorded,
  },
  {
    file: 'IF-I-M, IF-I-L, IF-I-XL',
    what: 'text by T5, diffusers folders, with `IF-II-M` or `IF-II-L`',
    command: 'sd txt2img "…" --model IF-I --enlarge IF-II',
    checked: recorded,
  },
  {
    file: 'CompVis/ldm-celebahq-256',
    what: 'unconditional latents, diffusers folder',
    command: 'sd sample --model FOLDER --count N',
    checked: recorded,
  },
  {
    file: 'CompVis/ldm-text2im-large-256',
    what: 'text by BERT, diffusers folder',
    command: 'sd txt2img "…" --ckpt FOLDER',
    checked: "a recording of the original's text encoder with small random weights",
  },
  {
    file: 'CompVis/ldm-super-resolution-4x-openimages',
    what: 'super-resolution, diffusers folder',
    command: 'sd img2img --init-img small.png --ckpt FOLDER',
    checked: recorded,
  },
];

const trainerRow: Published = {
  file: 'model-100.pt',
  what: "what denoising-diffusion-pytorch's `Trainer` saves",
  command: 'sd sample --model model-100.pt --width 128 --count N --steps 250',
  checked: 'a recorded file and its samples',
};

const admRow = (name: string): Published => {
  const flags = publishedAdmFlags(name) ?? {};
  const isUpsampler = flags['large_size'] !== undefined;
  const what = isUpsampler
    ? `upsampler, ${flags['small_size']} to ${flags['large_size']} pixels`
    : `${flags['image_size']} pixels, ${flags['class_cond'] ? 'classes' : 'unconditional'}`;
  const more = isUpsampler ? ' --base small.npz' : ' --count N';
  return { file: `${name}.pt`, what, command: `sd sample --model ${name}.pt${more} --steps 250`, checked: names };
};

const classifierRow = (size: string): Published => ({
  file: `${size}_classifier.pt`,
  what: 'classifier of noisy pictures, as a guide',
  command: `sd sample --model ${size}_diffusion.pt --classifier ${size}_classifier.pt --count N --steps 250`,
  checked: names,
});

/** Throws for a command that the program does not have. */
function checked({ command, ...row }: Published): Published {
  const [, word] = command.split(' ');
  if (!commands.some(({ name }) => name === word)) throw new Error(`There is no command ${word}.`);
  return { command, ...row };
}

/** Published models, each with the command that makes pictures with it. */
export const publishedModels: readonly Published[] = [
  ...models,
  ...publishedAdmModels.map(admRow),
  ...['64x64', '128x128', '256x256', '512x512'].map(classifierRow),
  trainerRow,
].map(checked);

export const publishedBlocks: Readonly<Record<string, Block>> = {
  'published-models': () =>
    table(
      ['model', 'made of', 'command', 'checked by'],
      publishedModels.map(({ file, what, command, checked: by }) => [code(file), what, code(command), by]),
    ),
};
