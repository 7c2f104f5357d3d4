/** The sections `lightning` and `model.base_learning_rate`, as `main.py` of latent-diffusion reads them. */

import * as z from 'zod';

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
  val_check_interval: count
    .optional()
    .describe('`lightning.trainer`: steps between validations (default: at each checkpoint)'),
  base_learning_rate: z.number().positive().describe('`model`: learning rate; see `scale_lr`'),
});
