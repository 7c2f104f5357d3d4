/** Ready-made configurations for common kinds of training, such as `sd train lora`: only model and pictures have to be given. */

import type { Mapping } from '../config/validate.ts';

export interface Recipe {
  /** A sentence. */
  readonly description: string;
  readonly document: Mapping;
}

const run = (steps: number, batch: number): Mapping => ({
  data: { params: { batch_size: batch, train: { params: {} } } },
  lightning: {
    trainer: { max_steps: steps, gradient_clip_val: 1 },
    modelcheckpoint: { params: { every_n_train_steps: 250 } },
    callbacks: { image_logger: { params: { batch_frequency: 250 } } },
  },
});

/** By name. Learning rates are those of diffusers' scripts. */
export const recipes: Readonly<Record<string, Recipe>> = {
  lora: {
    description: 'a LoRA of rank 8 on every attention of the UNet',
    document: {
      ...run(1500, 1),
      model: {
        target: 'stable_diffusion_ts.Lora',
        base_learning_rate: 1e-4,
        params: { unet: { rank: 8, targets: ['attention'] } },
      },
      training: { scale_lr: false },
    },
  },
  dreambooth: {
    description:
      'the whole UNet on a few pictures of a subject (model.params.instance_prompt, and prior for its class)',
    document: {
      ...run(800, 1),
      model: { target: 'stable_diffusion_ts.DreamBooth', base_learning_rate: 5e-6, params: {} },
      training: { scale_lr: false, weight_decay: 0.01, checkpointing: true },
    },
  },
  'textual-inversion': {
    description: 'a word for a subject or a style (model.params.token and initializer)',
    document: {
      ...run(3000, 1),
      model: { target: 'stable_diffusion_ts.TextualInversion', base_learning_rate: 5e-4, params: {} },
      training: { scale_lr: false },
    },
  },
};
