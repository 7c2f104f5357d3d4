/** The sections `lightning` and `model.base_learning_rate`, as `main.py` of latent-diffusion reads them. */

import * as z from 'zod';
import { configError, type Mapping } from '../config/validate.ts';
import { type ImageLogSettings, logImagesSchema } from './image-log.ts';

const count = z.int().positive();

/** The settings of `lightning` and `model` that the training loop uses. */
export const loopSchema = z.object({
  max_steps: count.default(100_000).describe('`lightning.trainer`: number of optimiser steps'),
  accumulate_grad_batches: count.default(1).describe('`lightning.trainer`: batches per optimiser step'),
  gradient_clip_val: z.number().positive().optional().describe('`lightning.trainer`: maximum norm of the gradient'),
  every_n_train_steps: count.default(500).describe('`lightning.modelcheckpoint.params`: steps between checkpoints'),
  keep_every: count
    .optional()
    .describe(
      '`lightning.metrics_over_trainsteps_checkpoint.params.every_n_train_steps`: steps between checkpoints that are all kept (default: none)',
    ),
  save_top_k: z
    .int()
    .min(-1)
    .optional()
    .describe(
      '`lightning.modelcheckpoint.params`: number of best checkpoints to keep; `training.keep_best` overrides it',
    ),
  batch_frequency: z
    .int()
    .nonnegative()
    .default(500)
    .describe('`lightning.callbacks.image_logger.params`: steps between sample grids; 0 turns them off'),
  max_images: count
    .optional()
    .describe(
      "`lightning.callbacks.image_logger.params`: most pictures of a kind; with it or `log_images_kwargs` the pictures of latent-diffusion's `ImageLogger` are written to `images/`",
    ),
  increase_log_steps: z
    .boolean()
    .default(true)
    .describe('`lightning.callbacks.image_logger.params`: write them at steps 1, 2, 4, … up to `batch_frequency` too'),
  log_first_step: z
    .boolean()
    .default(false)
    .describe('`lightning.callbacks.image_logger.params`: write them after the first step'),
  disabled: z
    .boolean()
    .default(false)
    .describe('`lightning.callbacks.image_logger.params`: no sample grids and no such pictures'),
  log_images_kwargs: logImagesSchema
    .optional()
    .describe('`lightning.callbacks.image_logger.params`: which pictures are made, and how; see below'),
  val_check_interval: count
    .optional()
    .describe('`lightning.trainer`: steps between validations (default: at each checkpoint)'),
  base_learning_rate: z.number().positive().describe('`model`: learning rate; see `scale_lr`'),
});

/** What `image_logger.params` has for the loop. Throws `config-invalid` for settings of the original that would give other pictures. */
export function imageLogger(params: Mapping, what: string): Mapping {
  for (const [name, only] of Object.entries({ clamp: true, rescale: true, log_on_batch_idx: false }))
    if (params[name] !== undefined && params[name] !== only)
      throw configError(`${what}: lightning.callbacks.image_logger.params.${name} can only be ${only} here.`);
  const { batch_frequency, max_images, increase_log_steps, log_first_step, disabled, log_images_kwargs } = params;
  return { batch_frequency, max_images, increase_log_steps, log_first_step, disabled, log_images_kwargs };
}

/** When grids are made, and with `max_images` or `log_images_kwargs` the pictures of the original's logger. */
export function imageLogOf(values: z.output<typeof loopSchema>): {
  readonly sampleEvery: number;
  readonly imageLog?: ImageLogSettings;
} {
  const { batch_frequency: every, max_images, log_images_kwargs: given } = values;
  if (values.disabled || every === 0) return { sampleEvery: 0 };
  if (max_images === undefined && given === undefined) return { sampleEvery: every };
  return {
    sampleEvery: every,
    imageLog: {
      every,
      increases: values.increase_log_steps,
      logsFirst: values.log_first_step,
      most: max_images ?? 4,
      log: given ?? logImagesSchema.parse({}),
    },
  };
}
