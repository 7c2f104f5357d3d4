/** The published files of guided-diffusion with the flags of its README, which the files do not hold. */

import { type AdmFlags, admFlags } from './adm-flags.ts';
import { StableDiffusionError } from '../errors.ts';
import { flagPairs, flagValue } from './flag-pairs.ts';
import { configError } from './validate.ts';

type Given = Readonly<Record<string, unknown>>;

const common: Given = {
  attention_resolutions: '32,16,8',
  class_cond: true,
  diffusion_steps: 1000,
  learn_sigma: true,
  noise_schedule: 'linear',
  num_res_blocks: 2,
  resblock_updown: true,
  use_scale_shift_norm: true,
};
const lsun: Given = {
  ...common,
  class_cond: false,
  dropout: 0.1,
  image_size: 256,
  num_channels: 256,
  num_head_channels: 64,
};

/** Of the files `NAME_diffusion.pt` and so on; the classifiers of a size share its flags. */
const published: Readonly<Record<string, Given>> = {
  '64x64_diffusion': {
    ...common,
    dropout: 0.1,
    image_size: 64,
    noise_schedule: 'cosine',
    num_channels: 192,
    num_head_channels: 64,
    num_res_blocks: 3,
    use_new_attention_order: true,
  },
  '128x128_diffusion': { ...common, image_size: 128, num_channels: 256, num_heads: 4 },
  '256x256_diffusion': { ...common, image_size: 256, num_channels: 256, num_head_channels: 64 },
  '256x256_diffusion_uncond': {
    ...common,
    class_cond: false,
    image_size: 256,
    num_channels: 256,
    num_head_channels: 64,
  },
  '512x512_diffusion': { ...common, image_size: 512, num_channels: 256, num_head_channels: 64 },
  '64_256_upsampler': { ...common, large_size: 256, small_size: 64, num_channels: 192, num_heads: 4 },
  '128_512_upsampler': {
    ...common,
    attention_resolutions: '32,16',
    large_size: 512,
    small_size: 128,
    num_channels: 192,
    num_head_channels: 64,
  },
  lsun_bedroom: lsun,
  lsun_cat: lsun,
  lsun_horse: lsun,
  lsun_horse_nodropout: { ...lsun, dropout: 0 },
};

/** Scales of the classifier's gradient in the README's samples. */
const scales: Readonly<Record<string, number>> = {
  '128x128_diffusion': 0.5,
  '256x256_diffusion_uncond': 10,
  '512x512_diffusion': 4,
};

/** Names of the published models, without their ending. */
export const publishedAdmModels: readonly string[] = Object.keys(published);

/** Flags of the classifier of pictures of a size. */
export const classifierFlags = (side: number): Given => (side === 64 ? { classifier_depth: 4 } : {});

/** The key under which the files of our own training hold their flags, as JSON. */
export const admFlagsKey = 'guided_diffusion.flags';

const nameOf = (path: string): string => (path.split(/[/\\]/).at(-1) ?? '').replace(/\.[^.]+$/, '');

/** The README's scale of a classifier's gradient for a file. Default 1. */
export const publishedClassifierScale = (path: string): number => scales[nameOf(path)] ?? 1;

/** The README's flags of a published file, by its name; undefined for others. */
export function publishedAdmFlags(path: string): Given | undefined {
  const name = nameOf(path);
  return Object.hasOwn(published, name) ? published[name] : undefined;
}

/** The flags in a file of our own training; undefined for others. Throws `file-corrupt`. */
export function storedAdmFlags(metadata: ReadonlyMap<string, unknown> | undefined, label: string): Given | undefined {
  const text = metadata?.get(admFlagsKey);
  if (typeof text !== 'string') return undefined;
  try {
    return admFlags(JSON.parse(text));
  } catch {
    throw new StableDiffusionError('file-corrupt', `${label}: the flags in its metadata (${admFlagsKey}) are damaged.`);
  }
}

/** Flags that place the work, and that only training reads. */
const ignored = [
  'use_fp16',
  'classifier_use_fp16',
  'use_checkpoint',
  'batch_size',
  'num_samples',
  'model_path',
  'classifier_path',
  'classifier_scale',
  'base_samples',
  'use_ddim',
  'clip_denoised',
];
const texts = [
  'attention_resolutions',
  'classifier_attention_resolutions',
  'channel_mult',
  'classifier_channel_mult',
  'timestep_respacing',
  'noise_schedule',
  'classifier_pool',
];

/** Flags as a command line of guided-diffusion has them: `--image_size 64 --class_cond True`. Throws `config-invalid`. */
export function parseAdmFlags(text: string): Given {
  const known = Object.keys(admFlags({}));
  const found: Record<string, unknown> = {};
  for (const [name, value] of flagPairs(text, 'guided-diffusion')) {
    if (ignored.includes(name)) continue;
    if (!known.includes(name) && name !== 'large_size' && name !== 'small_size')
      throw configError(
        `guided-diffusion has no flag --${name}. Known are ${known.join(', ')}, large_size, small_size.`,
      );
    found[name] = texts.includes(name) ? value : flagValue(value);
  }
  return found;
}

/** The flags of a file: those of its name, then the given ones over them. */
export const admFlagsFor = (path: string, given: Given = {}): AdmFlags =>
  admFlags({ ...publishedAdmFlags(path), ...given });
