/** Ready-made configurations for common kinds of training, such as `sd train lora`: only pictures have to be given, and the model that is fine-tuned. */

import type { Mapping } from '../config/validate.ts';
import { v1Stages } from './v1-stages.ts';

export interface Recipe {
  /** It fine-tunes a model, which the caller has to name. */
  readonly needsModel: boolean;
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

/** Small networks over pixels as guided-diffusion trains them; the flags of its README can be set over them. */
const pixels = (target: string, params: Mapping): Mapping => ({
  ...run(100_000, 16),
  lightning: {
    trainer: { max_steps: 100_000 },
    modelcheckpoint: { params: { every_n_train_steps: 1000 } },
    callbacks: { image_logger: { params: { batch_frequency: 1000 } } },
  },
  model: { target: `guided_diffusion.${target}`, base_learning_rate: 1e-4, params },
});

/** A control network beside a text-to-image model that stays as it is. */
const control = (target: 'ControlNet' | 'T2IAdapter', dropout: number): Mapping => ({
  ...run(20_000, 4),
  model: {
    target: `stable_diffusion_ts.${target}`,
    base_learning_rate: 1e-5,
    params: { condition_dropout: dropout },
  },
  training: { scale_lr: false, weight_decay: 0.01, sample_count: 4, sample_scale: 7.5 },
});

const smallUNet: Mapping = {
  num_channels: 64,
  num_res_blocks: 2,
  num_head_channels: 32,
  channel_mult: '1,2,3',
  attention_resolutions: '16,8',
  resblock_updown: true,
  learn_sigma: true,
  noise_schedule: 'cosine',
};

/** By name. Learning rates are those of diffusers' scripts. */
export const recipes: Readonly<Record<string, Recipe>> = {
  lora: {
    needsModel: true,
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
    needsModel: true,
    description:
      'the whole UNet on a few pictures of a subject (model.params.instance_prompt, and prior for its class)',
    document: {
      ...run(800, 1),
      model: { target: 'stable_diffusion_ts.DreamBooth', base_learning_rate: 5e-6, params: {} },
      training: { scale_lr: false, weight_decay: 0.01, checkpointing: true },
    },
  },
  controlnet: {
    needsModel: true,
    description:
      'a ControlNet from pictures with maps (conditioning_image in metadata.jsonl, conditioning_root) or with --annotator canny',
    document: control('ControlNet', 0.5),
  },
  't2i-adapter': {
    needsModel: true,
    description: 'a T2I-Adapter from pictures with maps, or with --annotator canny',
    document: control('T2IAdapter', 0.1),
  },
  'image-train': {
    needsModel: false,
    description: "a model of pixels as guided-diffusion's image_train.py (image_size, class_cond and the other flags)",
    document: pixels('image_train', { ...smallUNet, image_size: 64 }),
  },
  'super-res-train': {
    needsModel: false,
    description: "an upsampler of pixels as guided-diffusion's super_res_train.py (small_size, large_size)",
    document: pixels('super_res_train', {
      ...Object.fromEntries(Object.entries(smallUNet).filter(([name]) => name !== 'channel_mult')),
      large_size: 64,
      small_size: 16,
    }),
  },
  'classifier-train': {
    needsModel: false,
    description: "a classifier of noisy pictures, which guides sampling, as guided-diffusion's classifier_train.py",
    document: pixels('classifier_train', {
      image_size: 64,
      num_classes: 10,
      classifier_width: 64,
      classifier_attention_resolutions: '16,8',
      noise_schedule: 'cosine',
      anneal_lr: true,
    }),
  },
  'textual-inversion': {
    needsModel: true,
    description: 'a word for a subject or a style (model.params.token and initializer)',
    document: {
      ...run(3000, 1),
      model: { target: 'stable_diffusion_ts.TextualInversion', base_learning_rate: 5e-4, params: {} },
      training: { scale_lr: false },
    },
  },
  ...v1Stages,
};
