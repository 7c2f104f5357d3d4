/** The options that txt2img, img2img and inpaint share, named as in CompVis's scripts where these have them. */

import { samplers } from '../diffusion/samplers/index.ts';
import { sigmaSchedules } from '../diffusion/sigma-schedules/index.ts';
import { noiseConventions } from '../random/noise-source.ts';
import { engineOptions } from './engine-options.ts';
import { readEmbedding, readLora } from './adapter-options.ts';
import { choice, flag, integer, integers, list, number, text, type OptionValues } from './options.ts';

export const modelOptions = {
  model: text(
    ['--model', '--ckpt'],
    'PATH',
    'checkpoint (.safetensors, .ckpt) or diffusers folder (default: the model that comes with the program)',
  ),
  config: text(
    ['--config'],
    'FILE',
    "the model's YAML (default: FILE.yaml beside FILE.safetensors, else by its names and shapes)",
  ),
  ema: flag(['--ema'], 'use the averaged (EMA) weights'),
  loras: list(
    ['--lora'],
    'FILE[:X[:Y]]',
    'LoRA with its strength in the UNet and in the text encoder (default: 1); may be given several times',
    readLora,
  ),
  embeddings: list(
    ['--embedding'],
    'FILE[:TOKEN]',
    'textual inversion, and the word that stands for it in prompts (default: as its file says); may be given several times',
    readEmbedding,
  ),
  vocabulary: text(
    ['--vocab'],
    'FILE',
    "vocab.txt of BERT's tokenizer, for models with that text encoder (default: beside the checkpoint)",
  ),
  ...engineOptions,
};

export const generationOptions = {
  prompt: text(['--prompt'], 'TEXT', 'the prompt, if it is not given as words'),
  fromFile: text(['--from-file'], 'FILE', 'prompts, one a line, n_samples of them at once; - is standard input'),
  negative: text(['--negative', '--negative-prompt'], 'TEXT', 'what should not be in the picture'),
  promptSyntax: choice(
    ['--prompt-syntax'],
    ['plain', 'a1111'],
    'how prompts are read; a1111: (word:1.3), [from:to:0.5], [a|b], AND, BREAK, any length (default: plain)',
  ),
  classes: integers(['--class'], 'class numbers, for models of classes', { min: 0 }),
  steps: integer(['--steps', '--ddim_steps'], 'steps of sampling (default: 50)', { min: 1 }),
  sampler: text(
    ['--sampler'],
    'NAME',
    'ddim, plms, euler-ancestral, "DPM++ 2M Karras", … (default: ddim)',
    samplers.map(({ name }) => name),
  ),
  schedule: text(
    ['--schedule', '--scheduler'],
    'NAME',
    "spacing of the steps: karras, exponential, sgm_uniform, … (default: the sampler's own)",
    Object.keys(sigmaSchedules),
  ),
  plms: flag(['--plms'], 'the same as --sampler plms'),
  dpmSolver: flag(['--dpm_solver'], 'the same as --sampler dpm-solver'),
  eta: number(['--eta', '--ddim_eta'], "fresh noise in each step (default: the sampler's own, 0 for ddim)", { min: 0 }),
  seed: text(['--seed'], 'N', 'whole number, or "random" (default: 42)'),
  noise: choice(['--noise'], noiseConventions, 'whose way of drawing noise from the seed (default: compvis)'),
  samples: integer(['--n_samples', '--batch_size'], 'pictures made at once (default: 1)', { min: 1, max: 1024 }),
  iterations: integer(['--n_iter'], 'how often (default: 1)', { min: 1 }),
  fixedCode: flag(['--fixed_code'], 'the same start noise in every iteration'),
  clipSkip: integer(['--clip-skip'], 'leave out the last N-1 layers of the text encoder (default: 1)', { min: 1 }),
  noSafety: flag(['--no-safety'], 'do not run the safety checker'),
  noWatermark: flag(['--no-watermark'], 'no invisible watermark'),
  initLatents: text(
    ['--init-latents'],
    'FILE',
    'start noise from a file of tensors (start_noise, else its only tensor)',
  ),
};

export const outputOptions = {
  output: text(['--output', '-o'], 'FILE', 'write the picture here (.png, .jpg, .webp) instead of --outdir'),
  outdir: text(['--outdir'], 'FOLDER', 'write samples/00000.png, … and a grid here; numbers go on'),
  rows: integer(['--n_rows'], 'pictures in a row of the grid (default: n_samples)', { min: 0 }),
  skipGrid: flag(['--skip_grid'], 'write no grid'),
  skipSave: flag(['--skip_save'], 'write no single pictures'),
  saveLatents: text(['--save-latents'], 'FILE', 'write the final latents and the start noise (.safetensors)'),
  preview: flag(['--preview'], 'show the picture while it is made, in terminals that can'),
  previewFile: text(['--preview-file'], 'FILE', 'write the picture here while it is made'),
  taesd: text(['--taesd'], 'FILE', 'TAESD weights, for better previews'),
  force: flag(['--force'], 'replace files that exist (default: they are left, and it is an error)'),
  noShow: flag(['--no-show'], 'do not show the pictures in the terminal'),
  json: flag(['--json'], 'print one line of JSON for each picture'),
  quiet: flag(['--quiet', '-q'], 'no progress'),
};

export type ModelValues = OptionValues<typeof modelOptions>;
export type GenerationValues = OptionValues<typeof generationOptions>;
export type OutputValues = OptionValues<typeof outputOptions>;
