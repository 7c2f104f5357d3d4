/** Configurations of tiny models in LDM's YAML, for tests of training runs. */

/** A small autoencoder's configuration, in YAML's flow form. */
export const ddconfig =
  '{ double_z: true, z_channels: 2, resolution: 16, in_channels: 3, out_ch: 3, ch: 32, ch_mult: [1, 2], num_res_blocks: 1, attn_resolutions: [], dropout: 0.0 }';

export const autoencoderYaml = (pictures: string): string => `
model:
  base_learning_rate: 1.0e-3
  target: ldm.models.autoencoder.AutoencoderKL
  params:
    monitor: val/rec_loss
    embed_dim: 2
    use_ema: true
    lossconfig: { target: MultiscaleReconstruction, params: { scales: 2, kl_weight: 1.0e-6 } }
    ddconfig: ${ddconfig}
data:
  params:
    batch_size: 2
    train: { params: { data_root: ${pictures}, random_crop: true, flip_p: 0.5 } }
    validation: { params: { data_root: ${pictures} } }
lightning:
  modelcheckpoint: { params: { every_n_train_steps: 3 } }
  callbacks: { image_logger: { params: { batch_frequency: 4 } } }
  trainer: { max_steps: 8, accumulate_grad_batches: 2, gradient_clip_val: 1.0 }
training: { scale_lr: false, log_every: 2, keep_best: 2 }
`;

/** The same with a discriminator from step 1 on, weighed adaptively. */
export const adversarialYaml = (pictures: string): string =>
  autoencoderYaml(pictures).replace(
    /lossconfig: .*/,
    'lossconfig: { target: ldm.modules.losses.LPIPSWithDiscriminator, params: { disc_start: 1, kl_weight: 1.0e-6, disc_weight: 0.5, disc_num_layers: 1, perceptual_weight: 0 } }',
  );

/** A small text-to-image model over that autoencoder, in four steps; its weights lie at `autoencoder`. */
export const diffusionYaml = (pictures: string, autoencoder: string): string => `
model:
  base_learning_rate: 1.0e-3
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    linear_start: 0.00085
    linear_end: 0.012
    timesteps: 100
    image_size: 8
    channels: 2
    cond_stage_key: txt
    cond_stage_trainable: true
    conditioning_key: crossattn
    scale_by_std: true
    use_ema: true
    ucg_training: { txt: { p: 0.5, val: "" } }
    scheduler_config: { target: ldm.lr_scheduler.LambdaLinearScheduler, params: { warm_up_steps: [2], cycle_lengths: [100], f_start: [0.1], f_max: [1.0], f_min: [0.1] } }
    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params: { image_size: 8, in_channels: 2, out_channels: 2, model_channels: 32, num_res_blocks: 1, attention_resolutions: [2], channel_mult: [1, 1], num_heads: 2, use_spatial_transformer: true, transformer_depth: 1, context_dim: 16, use_checkpoint: false, legacy: false }
    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params: { ckpt_path: ${autoencoder}, embed_dim: 2, ddconfig: ${ddconfig}, lossconfig: { target: torch.nn.Identity } }
    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenCLIPEmbedder
      params: { hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32, vocab_size: 1024, max_position_embeddings: 77, max_length: 12 }
data:
  params: { batch_size: 2, train: { params: { data_root: ${pictures}, size: 16, flip_p: 0.5 } } }
lightning:
  modelcheckpoint: { params: { every_n_train_steps: 2 } }
  callbacks: { image_logger: { params: { batch_frequency: 0 } } }
  trainer: { max_steps: 4, accumulate_grad_batches: 2, gradient_clip_val: 1.0 }
training: { scale_lr: false, ema_decay: 0.9, log_every: 1, keep_best: 1, sample_prompts: [a red square, a blue square], sample_steps: 2, noise_offset: 0.1, input_perturbation: 0.1, min_snr_gamma: 5 }
`;
