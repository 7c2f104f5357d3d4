/**
 * The section `model` of a run that trains a network over pixels as guided-diffusion's scripts do: the flags of its README, and the options of
 * `image_train.py`, `super_res_train.py` and `classifier_train.py`.
 */

import * as z from 'zod';
import { type AdmFlags, admFlagNames, admFlags } from '../../config/adm-flags.ts';
import { parseAdmFlags } from '../../config/adm-published.ts';
import { configError, isMapping, type Mapping, validated } from '../../config/validate.ts';

export const pixelTargets = ['image_train', 'super_res_train', 'classifier_train'] as const;
export type PixelTarget = (typeof pixelTargets)[number];

const optionsSchema = z.strictObject({
  schedule_sampler: z
    .enum(['uniform', 'loss-second-moment'])
    .default('uniform')
    .describe('which timesteps are trained: all alike, or those with large losses more often'),
  lr_anneal_steps: z
    .int()
    .nonnegative()
    .default(0)
    .describe('the learning rate falls linearly to 0 over so many steps (0: it stays)'),
  anneal_lr: z
    .boolean()
    .default(false)
    .describe('`classifier_train`: the learning rate falls linearly to 0 over all steps of the run'),
  ema_rate: z
    .union([z.number(), z.string()])
    .default('0.9999')
    .describe('decay rates of the averaged weights, by commas; the first one makes `model.safetensors`'),
  noised: z.boolean().default(true).describe('`classifier_train`: classify noisy pictures, else clean ones'),
  class_key: z.string().default('class_label').describe("field of the pictures' metadata with the class"),
  flags: z.string().default('').describe('flags as the README writes them: `--image_size 64 --learn_sigma True …`'),
  ckpt_path: z.string().optional().describe('weights to start from, as `training.init`'),
});

export interface PixelSettings {
  readonly target: PixelTarget;
  readonly flags: AdmFlags;
  readonly scheduleSampler: 'uniform' | 'loss-second-moment';
  readonly annealSteps: number;
  readonly annealOverRun: boolean;
  readonly emaRates: readonly number[];
  readonly noised: boolean;
  /** Field of the metadata with the class. */
  readonly classKey: string;
  readonly start: string | undefined;
}

/** Options of the original that other sections have here. */
const elsewhere: Readonly<Record<string, string>> = {
  lr: 'model.base_learning_rate',
  batch_size: 'data.params.batch_size',
  microbatch: 'lightning.trainer.accumulate_grad_batches',
  weight_decay: 'training.weight_decay',
  data_dir: 'data.params.train.params.data_root',
  val_data_dir: 'data.params.validation.params.data_root',
  log_interval: 'training.log_every',
  save_interval: 'lightning.modelcheckpoint.params.every_n_train_steps',
  eval_interval: 'lightning.trainer.val_check_interval',
  iterations: 'lightning.trainer.max_steps',
  resume_checkpoint: '--resume, or training.init',
  random_crop: 'data.params.train.params.random_crop',
  use_fp16: 'nothing: training is in float32',
  classifier_use_fp16: 'nothing: training is in float32',
  fp16_scale_growth: 'nothing: training is in float32',
  use_checkpoint: 'training.checkpointing',
};

function ratesOf(given: number | string, what: string): number[] {
  const rates = String(given)
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number);
  if (rates.some((rate) => !(rate >= 0 && rate < 1)))
    throw configError(
      `${what}: ema_rate is ${JSON.stringify(given)}; it needs numbers from 0 to below 1, such as "0.9999,0.999".`,
    );
  if (new Set(rates).size < rates.length) throw configError(`${what}: ema_rate names a rate twice.`);
  return rates;
}

/** Throws `config-invalid`, naming the setting. */
export function pixelSettings(target: PixelTarget, model: Mapping, what: string): PixelSettings {
  const params: Mapping = isMapping(model['params']) ? model['params'] : {};
  const own = new Set(Object.keys(optionsSchema.shape));
  const scheduler = params['scheduler_config'];
  const flags: Record<string, unknown> = {};
  const options: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(params)) {
    if (name === 'scheduler_config' || name === 'monitor') continue;
    if (own.has(name)) options[name] = value;
    else if (admFlagNames.includes(name)) flags[name] = typeof value === 'number' && textual(name) ? `${value}` : value;
    else if (Object.hasOwn(elsewhere, name))
      throw configError(`${what}: params.${name} of guided-diffusion is here ${elsewhere[name]}.`);
    else
      throw configError(
        `${what}: params has no ${name}. It has guided-diffusion's flags (${admFlagNames.join(', ')}) and ${[...own].join(', ')}.`,
      );
  }
  const set = validated(optionsSchema, options, `params of ${what}`);
  if (scheduler !== undefined && (set.lr_anneal_steps > 0 || set.anneal_lr))
    throw configError(`${what}: scheduler_config and a linear anneal both set the learning rate. Keep one of them.`);
  const read = admFlags({ ...parseAdmFlags(set.flags), ...flags });
  if (target === 'super_res_train' && (read.large_size === undefined || read.small_size === undefined))
    throw configError(`${what}: super_res_train needs the flags large_size and small_size, such as 256 and 64.`);
  if (target !== 'super_res_train' && read.large_size !== undefined)
    throw configError(`${what}: large_size belongs to super_res_train.`);
  if (read.timestep_respacing !== '')
    throw configError(`${what}: timestep_respacing is for sampling. Training uses all steps of the process.`);
  return {
    target,
    flags: read,
    scheduleSampler: set.schedule_sampler,
    annealSteps: set.lr_anneal_steps,
    annealOverRun: set.anneal_lr,
    emaRates: target === 'classifier_train' ? [] : ratesOf(set.ema_rate, what),
    noised: set.noised,
    classKey: set.class_key,
    start: set.ckpt_path,
  };
}

/** Flags that are texts, which YAML may read as numbers (`channel_mult: 1`). */
const textual = (name: string): boolean => /resolutions$|channel_mult$|_respacing$/.test(name);
