/** Hugging Face `config.json` files: the models of Stable Diffusion v1 repositories, and what is refused. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schedulerParams } from '../../src/config/diffusers-scheduler.ts';
import { modelConfig } from '../../src/config/model-config.ts';

/** The UNet of the published SD v1 repositories (fields that their config.json has). */
const unet = {
  _class_name: 'UNet2DConditionModel',
  act_fn: 'silu',
  attention_head_dim: 8,
  block_out_channels: [320, 640, 1280, 1280],
  center_input_sample: false,
  cross_attention_dim: 768,
  down_block_types: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D'],
  downsample_padding: 1,
  flip_sin_to_cos: true,
  freq_shift: 0,
  in_channels: 4,
  layers_per_block: 2,
  mid_block_scale_factor: 1,
  norm_eps: 1e-5,
  norm_num_groups: 32,
  out_channels: 4,
  sample_size: 64,
  up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
};

test('the UNet of SD v1 is that of v1-inference.yaml: attention_head_dim is the number of heads', () => {
  const config = modelConfig(unet, 'unet/config.json');
  assert.ok(config.kind === 'unet');
  assert.deepEqual(
    [config.channel_mult, config.attention_resolutions, config.num_heads, config.num_head_channels, config.context_dim],
    [[1, 2, 4, 4], [1, 2, 4], 8, -1, 768],
  );
  assert.deepEqual(
    [config.num_res_blocks, config.use_spatial_transformer, config.legacy, config.image_size],
    [2, true, false, 64],
  );
  const wide = modelConfig({ ...unet, attention_head_dim: [5, 10, 20, 20] }, 'x');
  assert.ok(wide.kind === 'unet' && wide.num_head_channels === 64 && wide.num_heads === -1);
});

test('an unconditional UNet2DModel has plain attention', () => {
  const config = modelConfig(
    {
      _class_name: 'UNet2DModel',
      block_out_channels: [224, 448, 672, 896],
      layers_per_block: 2,
      attention_head_dim: 32,
      in_channels: 3,
      out_channels: 3,
      down_block_types: ['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D'],
      up_block_types: ['AttnUpBlock2D', 'AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
    },
    'x',
  );
  assert.ok(config.kind === 'unet');
  assert.deepEqual(
    [config.attention_resolutions, config.num_head_channels, config.use_spatial_transformer, config.context_dim],
    [[2, 4, 8], 32, false, null],
  );
});

test('fields that would change the computation are refused by name', () => {
  const refused = (change: Record<string, unknown>, message: RegExp) =>
    assert.throws(() => modelConfig({ ...unet, ...change }, 'unet/config.json'), { code: 'config-invalid', message });
  refused({ time_cond_proj_dim: 256 }, /time_cond_proj_dim/);
  refused({ addition_embed_type: 'image' }, /addition_embed_type/);
  refused({ addition_embed_type: 'text_time' }, /projection_class_embeddings_input_dim/);
  refused({ act_fn: 'gelu' }, /act_fn/);
  refused({ down_block_types: ['DownBlock2D', 'DownBlock2D', 'DownBlock2D', 'CrossAttnDownBlock2D'] }, /mirror/);
  refused({ down_block_types: 'all' }, /list/);
  refused({ transformer_layers_per_block: [[1, 2], 2, 10, 1] }, /transformer_layers_per_block/);
  refused({ block_out_channels: [320, 500, 1280, 1280] }, /500/);
  refused({ attention_head_dim: [5, 7, 9, 11] }, /attention_head_dim/);
  refused({ _class_name: 'FluxTransformer2DModel' }, /FluxTransformer2DModel is not one we can build/);
});

test('autoencoders: attention by block type becomes attention by resolution', () => {
  const vae = {
    _class_name: 'AutoencoderKL',
    block_out_channels: [128, 256, 512, 512],
    layers_per_block: 2,
    latent_channels: 4,
    norm_num_groups: 32,
    scaling_factor: 0.18215,
    down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D', 'DownEncoderBlock2D', 'AttnDownEncoderBlock2D'],
    up_block_types: ['AttnUpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D'],
  };
  const config = modelConfig(vae, 'vae/config.json');
  assert.ok(config.kind === 'kl');
  assert.deepEqual(
    [config.ddconfig.ch_mult, config.ddconfig.attn_resolutions, config.embed_dim, config.ddconfig.double_z],
    [[1, 2, 4, 4], [32], 4, true],
  );
  const vq = modelConfig({ ...vae, _class_name: 'VQModel', num_vq_embeddings: 8192, latent_channels: 3 }, 'x');
  assert.ok(vq.kind === 'vq' && vq.n_embed === 8192 && vq.embed_dim === 3 && !vq.ddconfig.double_z);
  assert.throws(() => modelConfig({ ...vae, use_quant_conv: false }, 'x'), {
    code: 'config-invalid',
    message: /use_quant_conv/,
  });
  assert.throws(() => modelConfig({ ...vae, up_block_types: vae.up_block_types.toReversed() }, 'x'), {
    code: 'config-invalid',
    message: /same levels/,
  });
});

test('CLIP by architectures, or by model_type where there are none', () => {
  const text = modelConfig(
    {
      architectures: ['CLIPTextModelWithProjection'],
      hidden_size: 768,
      intermediate_size: 3072,
      num_attention_heads: 12,
      projection_dim: 768,
      torch_dtype: 'float32',
      dropout: 0,
    },
    'x',
  );
  assert.ok(
    text.kind === 'clip_text' && text.with_projection && text.hidden_size === 768 && text.eos_token_id === 49407,
  );
  assert.equal(modelConfig({ model_type: 'clip_text_model' }, 'x').kind, 'clip_text');
  assert.equal(modelConfig({ model_type: 'clip_vision_model' }, 'x').kind, 'clip_vision');
  const towers = {
    model_type: 'clip',
    projection_dim: 512,
    vision_config: {
      hidden_size: 1024,
      intermediate_size: 4096,
      num_attention_heads: 16,
      num_hidden_layers: 24,
      patch_size: 14,
    },
  };
  const safety = modelConfig({ ...towers, text_config: {}, architectures: ['StableDiffusionSafetyChecker'] }, 'x');
  assert.ok(safety.kind === 'safety_checker' && safety.vision_config.patch_size === 14 && safety.concepts === 17);
  const clip = modelConfig(
    {
      ...towers,
      architectures: ['CLIPModel'],
      text_config: { hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12 },
    },
    'x',
  );
  assert.ok(
    clip.kind === 'openai_clip' &&
      clip.vision_width === 1024 &&
      clip.transformer_heads === 12 &&
      clip.image_resolution === 224,
  );
});

test('schedulers: scaled_linear is what LDM calls linear', () => {
  const params = schedulerParams(
    {
      beta_start: 0.00085,
      beta_end: 0.012,
      beta_schedule: 'scaled_linear',
      num_train_timesteps: 1000,
      prediction_type: 'v_prediction',
      trained_betas: null,
    },
    'x',
  );
  assert.deepEqual(params, {
    timesteps: 1000,
    linear_start: 0.00085,
    linear_end: 0.012,
    given_betas: null,
    noise_levels: null,
    beta_schedule: 'linear',
    parameterization: 'v',
    rescale_betas_zero_snr: false,
  });
  assert.throws(() => schedulerParams({ beta_schedule: 'sigmoid' }, 'x'), {
    code: 'config-invalid',
    message: /sigmoid/,
  });
  assert.equal(schedulerParams({ rescale_betas_zero_snr: true }, 'x').rescale_betas_zero_snr, true);
});
