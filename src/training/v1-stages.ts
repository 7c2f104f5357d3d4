/**
 * The stages in which Stable Diffusion v1 was trained, as configurations: the numbers of the model cards of CompVis (v1-1 to v1-4) and Runway
 * (v1-5 and inpainting), the networks of `configs/stable-diffusion/v1-inference.yaml`. A batch of 2048 is 4 pictures on each of 256 ranks,
 * twice accumulated. The filters read the metadata of LAION's data sets.
 */

import type { Mapping } from '../config/validate.ts';

interface Stage {
  readonly steps: number;
  /** Side of the pictures in pixels. */
  readonly size: number;
  readonly filter?: Mapping;
  /** Share of the captions that are left out, for guidance. */
  readonly withoutCaption?: number;
  /** Nine input channels: latent, mask, masked picture. */
  readonly isInpainting?: boolean;
}

const unet = (channels: number): Mapping => ({
  target: 'ldm.modules.diffusionmodules.openaimodel.UNetModel',
  params: {
    image_size: 32,
    in_channels: channels,
    out_channels: 4,
    model_channels: 320,
    attention_resolutions: [4, 2, 1],
    num_res_blocks: 2,
    channel_mult: [1, 2, 4, 4],
    num_heads: 8,
    use_spatial_transformer: true,
    transformer_depth: 1,
    context_dim: 768,
    use_checkpoint: true,
    legacy: false,
  },
});

const autoencoder: Mapping = {
  target: 'ldm.models.autoencoder.AutoencoderKL',
  params: {
    embed_dim: 4,
    ddconfig: {
      double_z: true,
      z_channels: 4,
      resolution: 256,
      in_channels: 3,
      out_ch: 3,
      ch: 128,
      ch_mult: [1, 2, 4, 4],
      num_res_blocks: 2,
      attn_resolutions: [],
      dropout: 0,
    },
    lossconfig: { target: 'torch.nn.Identity' },
  },
};

function documentOf({ steps, size, filter, withoutCaption, isInpainting = false }: Stage): Mapping {
  return {
    model: {
      target: `ldm.models.diffusion.ddpm.${isInpainting ? 'LatentInpaintDiffusion' : 'LatentDiffusion'}`,
      base_learning_rate: isInpainting ? 7.5e-5 : 1e-4,
      params: {
        linear_start: 0.00085,
        linear_end: 0.012,
        timesteps: 1000,
        first_stage_key: 'jpg',
        cond_stage_key: 'txt',
        image_size: size / 8,
        channels: 4,
        cond_stage_trainable: false,
        conditioning_key: isInpainting ? 'hybrid' : 'crossattn',
        scale_factor: 0.18215,
        use_ema: true,
        ...(withoutCaption === undefined ? {} : { ucg_training: { txt: { p: withoutCaption, val: '' } } }),
        scheduler_config: {
          target: 'ldm.lr_scheduler.LambdaLinearScheduler',
          params: {
            warm_up_steps: [isInpainting ? 2500 : 10_000],
            cycle_lengths: [1e13],
            f_start: [1e-6],
            f_max: [1],
            f_min: [1],
          },
        },
        unet_config: unet(isInpainting ? 9 : 4),
        first_stage_config: autoencoder,
        cond_stage_config: { target: 'ldm.modules.encoders.modules.FrozenCLIPEmbedder' },
      },
    },
    data: {
      params: { batch_size: 4, train: { params: { size, random_crop: true, ...(filter ? { filter } : {}) } } },
    },
    lightning: {
      trainer: { max_steps: steps, accumulate_grad_batches: 2 },
      modelcheckpoint: { params: { every_n_train_steps: 1000 } },
      callbacks: { image_logger: { params: { batch_frequency: 5000 } } },
    },
    training: { scale_lr: false, optimizer: 'adamw', weight_decay: 0.01, full_mask: 0.25 },
  };
}

/** laion-aesthetics v2 5+, as the card of v1-2 describes it. */
const aesthetic: Mapping = { minimum_size: 512, minimum_aesthetics: 5, maximum_watermark: 0.5 };

interface NamedStage {
  /** It goes on from an earlier stage. */
  readonly needsModel: boolean;
  readonly description: string;
  readonly document: Mapping;
}

const stage = (description: string, settings: Stage, needsModel = true): NamedStage => ({
  needsModel,
  description,
  document: documentOf(settings),
});

/** By the name of the checkpoint that each ends with. */
export const v1Stages: Readonly<Record<string, NamedStage>> = {
  'sd-v1-1-256': stage(
    'Stable Diffusion v1-1 from nothing: 237,000 steps at 256 pixels on laion2B-en (first_stage_config and cond_stage_config need ckpt_path)',
    { steps: 237_000, size: 256 },
    false,
  ),
  'sd-v1-1': stage('from sd-v1-1-256: 194,000 steps at 512 pixels on laion-high-resolution', {
    steps: 194_000,
    size: 512,
    filter: { minimum_size: 1024 },
  }),
  'sd-v1-2': stage('from sd-v1-1: 515,000 steps on laion-aesthetics v2 5+', {
    steps: 515_000,
    size: 512,
    filter: aesthetic,
  }),
  'sd-v1-3': stage('from sd-v1-2: 195,000 steps, 10 % without caption', {
    steps: 195_000,
    size: 512,
    filter: aesthetic,
    withoutCaption: 0.1,
  }),
  'sd-v1-4': stage('from sd-v1-2: 225,000 steps, 10 % without caption', {
    steps: 225_000,
    size: 512,
    filter: aesthetic,
    withoutCaption: 0.1,
  }),
  'sd-v1-5': stage('from sd-v1-2: 595,000 steps, 10 % without caption', {
    steps: 595_000,
    size: 512,
    filter: aesthetic,
    withoutCaption: 0.1,
  }),
  'sd-v1-5-inpainting': stage('from sd-v1-5: 440,000 steps with masks, a quarter of them over the whole picture', {
    steps: 440_000,
    size: 512,
    filter: aesthetic,
    withoutCaption: 0.1,
    isInpainting: true,
  }),
};
