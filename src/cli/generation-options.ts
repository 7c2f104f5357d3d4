/** The options that txt2img, img2img and inpaint share, named as in CompVis's scripts where these have them. */

import { controlOptions } from './control-options.ts';
import { engineOptions, memoryOptions } from './engine-options.ts';
import { readEmbedding, readLora } from './adapter-options.ts';
import { excluding, needing } from './needed-options.ts';
import { flag, integer, list, type OptionValues, text } from './options.ts';
import { requestFlags } from './request-flags.ts';
import { cascadeOptions } from './stage-flags.ts';

export const modelOptions = {
  model: text(
    ['--model', '--ckpt'],
    'MODEL',
    'checkpoint (.safetensors, .ckpt), diffusers folder, or a name: ORG/NAME, hf:…, https://…, civitai:…, sd-v1-5 (default: the bundled model)',
  ),
  config: text(
    ['--config'],
    'FILE',
    "the model's YAML (default: FILE.yaml next to FILE.safetensors, else inferred from names and shapes)",
  ),
  vae: text(
    ['--vae'],
    'FILE',
    "autoencoder (VAE) to use instead of the model's own; a file, a diffusers folder or a name",
  ),
  textEncoder: list(
    ['--text-encoder'],
    'FILE',
    'CLIP text encoder, for a model that was saved without one; twice for SDXL',
    (given) => given,
  ),
  ema: flag(['--ema'], 'use the averaged (EMA) weights'),
  loras: list(
    ['--lora'],
    'FILE[:X[:Y]]',
    'LoRA, with its strength in the UNet and in the text encoder (default: 1); can be repeated',
    readLora,
  ),
  loraFolder: needing(
    text(
      ['--lora-dir', '--lora-model-dir'],
      'DIR',
      "folder of LoRAs, for <lora:NAME:0.8> in prompts of A1111's syntax",
    ),
    '--prompt-syntax a1111',
  ),
  embeddings: list(
    ['--embedding'],
    'FILE[:TOKEN]',
    'textual inversion, and its word in prompts (default: the word in its file); can be repeated',
    readEmbedding,
  ),
  vocabulary: text(
    ['--vocab'],
    'FILE',
    "vocab.txt of BERT's tokenizer, for models with that text encoder (default: next to the checkpoint)",
  ),
  ...engineOptions,
  ...memoryOptions,
};

/** The model that ends a run. */
export const refinerOption = {
  refiner: text(['--refiner'], 'MODEL', "model that ends the run, such as SDXL's refiner; --switch-at says where"),
};

/** The classifier that guides a run. */
export const classifierOption = {
  classifier: text(
    ['--classifier'],
    'FILE',
    'classifier of noisy latents (NoisyLatentImageClassifier) that guides towards --class',
  ),
};

/** Options of a run that are not fields of its request. */
export const runOptions = {
  ...refinerOption,
  ...classifierOption,
  ...cascadeOptions,
  prompt: text(['--prompt'], 'TEXT', 'the prompt, if it is not given as words'),
  fromFile: text(
    ['--from-file'],
    'FILE',
    'file of prompts, one per line, generated --n_samples at a time; - reads standard input',
  ),
  dynamicPrompts: flag(
    ['--dynamic-prompts'],
    'read the prompt as a template of sd-dynamic-prompts: {a|b}, {2$$a|b|c}, {0.5::a|b}, __name__; each picture has its own, by its seed',
  ),
  wildcards: needing(
    text(['--wildcards'], 'DIR', 'folder of NAME.txt with a value on each line, for __NAME__ in --dynamic-prompts'),
    '--dynamic-prompts',
  ),
  plms: flag(['--plms'], 'same as --sampler plms'),
  dpmSolver: flag(['--dpm_solver'], 'same as --sampler dpm-solver'),
  initLatents: text(
    ['--init-latents'],
    'FILE',
    'start noise from a file of tensors: the tensor start_noise, or the only one',
  ),
};

export const generationOptions = { ...runOptions, ...requestFlags, ...controlOptions };

export const outputOptions = {
  output: text(['--output', '-o'], 'FILE', 'file for the picture (.png, .jpg, .webp), instead of --outdir'),
  outdir: excluding(
    text(['--outdir'], 'FOLDER', 'folder for samples/00000.png, … and a grid; numbering continues'),
    '--output',
  ),
  rows: excluding(
    integer(['--n_rows'], 'pictures in a row of the grid (default: the batch size)', { min: 0 }),
    '--skip_grid',
    '--output',
  ),
  skipGrid: flag(['--skip_grid'], 'do not write a grid'),
  skipSave: flag(['--skip_save'], 'do not write single pictures'),
  saveLatents: text(['--save-latents'], 'FILE', 'write the final latents and the start noise (.safetensors)'),
  preview: flag(['--preview'], 'show previews, in terminals that support it'),
  previewFile: text(['--preview-file'], 'FILE', 'file for previews'),
  taesd: needing(
    text(['--taesd'], 'FILE', 'TAESD weights, for better previews or --decoder taesd'),
    '--preview',
    '--preview-file',
    '--decoder taesd',
  ),
  force: flag(['--force'], 'replace files that exist (default: they are left, and it is an error)'),
  noShow: flag(['--no-show'], 'do not show the pictures in the terminal'),
  json: flag(['--json'], 'print one line of JSON for each picture'),
  quiet: flag(['--quiet', '-q'], 'do not show progress'),
};

export type ModelValues = OptionValues<typeof modelOptions>;
export type GenerationValues = OptionValues<typeof generationOptions>;
export type OutputValues = OptionValues<typeof outputOptions>;
