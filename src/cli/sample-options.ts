/** The options of `sd sample`. */

import { distributedOptions } from './distributed.ts';
import { engineOptions } from './engine-options.ts';
import { needing } from './needed-options.ts';
import { flag, integer, integers, number, text, UsageError, type Option } from './options.ts';

export interface Shard {
  readonly index: number;
  readonly of: number;
}

const shard: Option<Shard | undefined> = {
  flags: ['--shard'],
  value: 'I/N',
  description:
    'part of the set that this process makes, such as 2/8 (default: all); the parts can run at the same time',
  parse(given) {
    const [, index, of] = /^(\d{1,6})\/(\d{1,6})$/.exec(given) ?? [];
    const part = { index: Number(index), of: Number(of) };
    if (index === undefined || part.index < 1 || part.index > part.of)
      throw new UsageError(`must be a part such as 2/8, got ${JSON.stringify(given)}.`);
    return part;
  },
};

export const sampleOptions = {
  model: text(
    ['--model', '--ckpt'],
    'MODEL',
    'a model of guided-diffusion or denoising-diffusion-pytorch (.pt), or a checkpoint or diffusers folder of text, of classes or unconditional (required)',
  ),
  config: text(['--config'], 'FILE', "the model's YAML (default: FILE.yaml next to it, else inferred)"),
  flags: text(
    ['--flags'],
    'TEXT',
    'guided-diffusion: the flags of the model and the process, as in its README: "--image_size 64 --class_cond True …" (default: those of the published file of this name); denoising-diffusion-pytorch: what its file does not hold, such as "--objective pred_noise"',
  ),
  count: integer(['--count', '-n'], 'pictures of the whole set (default: as many as prompts or small pictures)', {
    min: 1,
    max: 10_000_000,
  }),
  batch: integer(['--batch'], 'pictures at once (default: 8)', { min: 1, max: 1024 }),
  outdir: text(
    ['--outdir'],
    'FOLDER',
    'folder of the set; a set that is partly there is completed (default: outputs/samples)',
  ),
  npz: flag(
    ['--npz'],
    'write one .npz as guided-diffusion does (arr_0 of bytes, arr_1 of classes) instead of PNG files',
  ),
  shard,
  seed: integer(['--seed'], 'seed of the set; picture i depends on it and on i alone (default: 0)', { min: 0 }),
  steps: integer(['--steps', '--ddim_steps'], 'steps (default: 50; models of pixels: all of their process)', {
    min: 1,
    max: 10_000,
  }),
  sampler: text(['--sampler'], 'NAME', 'sampler of latent diffusion models (default: ddim)'),
  ddim: flag(['--ddim'], 'guided-diffusion: DDIM instead of ancestral sampling'),
  respacing: text(['--respacing'], 'TEXT', 'guided-diffusion: steps by section, such as 250, 10,10,10 or ddim25'),
  eta: number(['--eta', '--ddim_eta'], 'noise of DDIM (default: 0; unconditional latent models: 1)', {
    min: 0,
    max: 10,
  }),
  scale: number(['--scale'], 'guidance scale (default: 7.5 for text, 3 for classes)', {}),
  classes: integers(['--class'], 'classes, one after the other (default: drawn for each picture)', { min: 0 }),
  prompts: text(['--prompts', '--from-file'], 'FILE', 'prompts, one per line, one after the other'),
  classifier: text(['--classifier'], 'FILE', 'a classifier of noisy pictures or latents to guide with'),
  classifierScale: needing(
    number(
      ['--classifier-scale'],
      'how strongly the classifier guides (default: that of the README for published models, else 1)',
      {},
    ),
    '--classifier',
  ),
  base: text(['--base'], 'FILE', 'guided-diffusion: small pictures for an upsampler, an .npz of the same program'),
  noEma: flag(['--no-ema'], 'use the last weights, not the averaged ones'),
  width: integer(['--width', '--W'], "width in pixels (default: the model's)", { min: 1, max: 16_384 }),
  height: integer(['--height', '--H'], "height in pixels (default: the model's)", { min: 1, max: 16_384 }),
  vocabulary: text(['--vocab'], 'FILE', "vocab.txt of BERT's tokenizer, for models with that text encoder"),
  quiet: flag(['--quiet', '-q'], 'no progress'),
  json: flag(['--json'], 'print the result as one JSON object'),
  device: engineOptions.device,
  threads: engineOptions.threads,
  ...distributedOptions,
};
