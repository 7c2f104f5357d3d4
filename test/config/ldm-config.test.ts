/** LDM's YAML: the forms that the configurations of CompVis/stable-diffusion and CompVis/latent-diffusion use, and their errors. */

import { ldmUNet } from '../../src/config/network-config.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LatentDiffusionConfig } from '../../src/config/latent-diffusion-config.ts';
import { parseModelConfig } from '../../src/config/model-config.ts';
import { checkpointKind } from '../../src/checkpoints/assembled-config.ts';

/** A whole model in block style, with the parts that vary. */
function model(parts: { target?: string; params?: string; unet?: string; first?: string; cond?: string }): string {
  return `
model:
  base_learning_rate: 1.0e-04
  target: ${parts.target ?? 'ldm.models.diffusion.ddpm.LatentDiffusion'}
  params:
    linear_start: 0.00085
    linear_end: 0.0120
    timesteps: 1000
    image_size: 64
    channels: 4
${indent(parts.params ?? '', 4)}
    scheduler_config: # 10000 warmup steps
      target: ldm.lr_scheduler.LambdaLinearScheduler
      params:
        warm_up_steps: [ 10000 ]
        f_start: [ 1.e-6 ]
    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params:
${indent(parts.unet ?? 'in_channels: 4\nout_channels: 4\nmodel_channels: 320\nattention_resolutions: [ 4, 2, 1 ]\nnum_res_blocks: 2\nchannel_mult: [ 1, 2, 4, 4 ]\nnum_heads: 8\nuse_spatial_transformer: True\ntransformer_depth: 1\ncontext_dim: 768\nuse_checkpoint: True\nlegacy: False', 8)}
    first_stage_config:
${indent(parts.first ?? 'target: ldm.models.autoencoder.AutoencoderKL\nparams:\n  embed_dim: 4\n  monitor: val/rec_loss\n  ddconfig: { double_z: true, z_channels: 4, resolution: 256, in_channels: 3, out_ch: 3, ch: 128, ch_mult: [1, 2, 4, 4], num_res_blocks: 2, attn_resolutions: [], dropout: 0.0 }\n  lossconfig:\n    target: torch.nn.Identity', 6)}
    cond_stage_config: ${parts.cond ?? '\n      target: ldm.modules.encoders.modules.FrozenCLIPEmbedder'}
data:
  target: main.DataModuleFromConfig
`;
}

function indent(text: string, by: number): string {
  return text.replace(/^(?=.)/gm, ' '.repeat(by));
}

function whole(text: string): LatentDiffusionConfig {
  const config = parseModelConfig(text, 'test.yaml');
  assert.ok(config.kind === 'latent_diffusion');
  return config;
}

const vq4 = `target: ldm.models.autoencoder.VQModelInterface
params:
  embed_dim: 3
  n_embed: 8192
  ddconfig: { double_z: false, z_channels: 3, resolution: 256, in_channels: 3, out_ch: 3, ch: 128, ch_mult: [1, 2, 4], num_res_blocks: 2, attn_resolutions: [], dropout: 0.0 }
  lossconfig: { target: torch.nn.Identity }`;

test('Stable Diffusion v1: the text encoder that is only named has its published sizes; 1.e-6 is a number', () => {
  const config = whole(
    model({ params: 'conditioning_key: crossattn\nscale_factor: 0.18215\nuse_ema: False\nfirst_stage_key: "jpg"' }),
  );
  assert.deepEqual(
    [config.conditioning_key, config.scale_factor, config.use_ema, config.parameterization, config.beta_schedule],
    ['crossattn', 0.18215, false, 'eps', 'linear'],
  );
  assert.equal(config.base_learning_rate, 1e-4);
  assert.deepEqual(config.scheduler_config, {
    target: 'ldm.lr_scheduler.LambdaLinearScheduler',
    params: { warm_up_steps: [10000], f_start: [1e-6] },
  });
  const text = config.cond_stage_config;
  assert.ok(text !== null && text !== 'first_stage' && text.kind === 'clip_text');
  assert.deepEqual(
    [text.hidden_size, text.num_attention_heads, text.num_hidden_layers, text.vocab_size, text.eos_token_id],
    [768, 12, 12, 49408, 2],
  );
  assert.deepEqual([config.cond_stage_version, config.cond_stage_max_length], ['openai/clip-vit-large-patch14', 77]);
  assert.equal(checkpointKind(config), 'txt2img');
});

test('text sizes among the params win over the named version', () => {
  const cond =
    '{ target: ldm.modules.encoders.modules.FrozenCLIPEmbedder, params: { hidden_size: 256, num_hidden_layers: 4, num_attention_heads: 4, intermediate_size: 1024, vocab_size: 8192 } }';
  const text = whole(model({ cond })).cond_stage_config;
  assert.ok(text !== null && text !== 'first_stage' && text.kind === 'clip_text');
  assert.deepEqual(
    [text.hidden_size, text.num_hidden_layers, text.vocab_size, text.max_position_embeddings],
    [256, 4, 8192, 77],
  );
  assert.throws(
    () => parseModelConfig(model({ cond: '{ target: x.FrozenCLIPEmbedder, params: { version: some/unknown } }' }), 'x'),
    { code: 'config-invalid', message: /some\/unknown/ },
  );
});

const unetOf = (more: string) =>
  `in_channels: 3\nout_channels: 3\nmodel_channels: 224\nattention_resolutions: [8, 4, 2]\nnum_res_blocks: 2\nchannel_mult: [1, 2, 3, 4]\nnum_head_channels: 32\n${more}`;

test('unconditional, class, super-resolution, semantic, layout and inpainting models of latent-diffusion', () => {
  const unconditional = whole(
    model({ first: vq4, cond: '__is_unconditional__', unet: unetOf(''), params: 'scale_by_std: true' }),
  );
  assert.deepEqual(
    [unconditional.cond_stage_config, unconditional.conditioning_key, unconditional.scale_by_std],
    [null, null, true],
  );
  const label = whole(
    model({
      first: vq4,
      cond: '{ target: ldm.modules.encoders.modules.ClassEmbedder, params: { embed_dim: 512, key: class_label } }',
      unet: unetOf('use_spatial_transformer: true\ncontext_dim: 512'),
      params: 'conditioning_key: crossattn',
    }),
  );
  assert.deepEqual(label.cond_stage_config, {
    kind: 'class_embedder',
    embed_dim: 512,
    n_classes: 1000,
    key: 'class_label',
  });
  assert.equal(checkpointKind(label), 'class');
  const upscaled = whole(
    model({
      first: vq4,
      cond: '{ target: torch.nn.Identity }',
      unet: unetOf('').replace('in_channels: 3', 'in_channels: 6'),
      params: 'concat_mode: true',
    }),
  );
  assert.deepEqual([upscaled.conditioning_key, upscaled.cond_stage_config], ['concat', { kind: 'identity' }]);
  const semantic = whole(
    model({
      first: vq4,
      cond: '{ target: ldm.modules.encoders.modules.SpatialRescaler, params: { n_stages: 2, in_channels: 182, out_channels: 3 } }',
      unet: unetOf(''),
    }),
  );
  assert.deepEqual(semantic.cond_stage_config, {
    kind: 'spatial_rescaler',
    n_stages: 2,
    method: 'bilinear',
    multiplier: 0.5,
    in_channels: 182,
    out_channels: 3,
    bias: false,
  });
  const layout = whole(
    model({
      first: vq4,
      cond: '{ target: ldm.modules.encoders.modules.BERTEmbedder, params: { n_embed: 512, n_layer: 16, vocab_size: 8192, max_seq_len: 92, use_tokenizer: false } }',
      unet: unetOf('use_spatial_transformer: true\ncontext_dim: 512\ntransformer_depth: 3'),
      params: 'conditioning_key: crossattn',
    }),
  );
  assert.deepEqual([layout.cond_stage_max_length, checkpointKind(layout)], [92, 'layout']);
  const inpainting = whole(
    model({
      first: vq4,
      cond: '__is_first_stage__',
      unet: unetOf('resblock_updown: true').replace('in_channels: 3', 'in_channels: 7'),
    }),
  );
  assert.deepEqual(
    [inpainting.cond_stage_config, inpainting.conditioning_key, ldmUNet(inpainting.unet_config).resblock_updown],
    ['first_stage', 'concat', true],
  );
});

test('descendants: LatentInpaintDiffusion, InstructPix2Pix, v-prediction; what is not known is kept as written', () => {
  const inpaint = whole(
    model({
      target: 'ldm.models.diffusion.ddpm.LatentInpaintDiffusion',
      params: 'conditioning_key: hybrid\nfinetune_keys: null',
    }).replace('in_channels: 4', 'in_channels: 9'),
  );
  assert.deepEqual(
    [inpaint.target, inpaint.conditioning_key, checkpointKind(inpaint), inpaint.other],
    ['LatentInpaintDiffusion', 'hybrid', 'inpaint', { finetune_keys: null }],
  );
  const edit = whole(
    model({
      target: 'ldm.models.diffusion.ddpm_edit.LatentDiffusion',
      params: 'conditioning_key: hybrid\nload_ema: true',
    }).replace('in_channels: 4', 'in_channels: 8'),
  );
  assert.equal(checkpointKind(edit), 'ip2p');
  assert.equal(whole(model({ params: 'parameterization: "v"' })).parameterization, 'v');
});

test('one network alone: with and without model:, by the class at the end of its target', () => {
  assert.equal(parseModelConfig(`model:\n${indent(vq4, 2)}`, 'x').kind, 'vq');
  const plain = parseModelConfig(
    vq4.replace('VQModelInterface', 'VQModel').replace('ldm.models', 'fork.of.models'),
    'x',
  );
  assert.ok(plain.kind === 'vq' && !plain.interface);
  assert.equal(parseModelConfig('target: ldm.models.autoencoder.IdentityFirstStage', 'x').kind, 'identity');
  assert.deepEqual(
    parseModelConfig(
      'target: ldm.modules.encoders.modules.TransformerEmbedder\nparams: {n_embed: 640, n_layer: 8, vocab_size: 1000, device: cpu}',
      'x',
    ),
    {
      kind: 'bert',
      n_embed: 640,
      n_layer: 8,
      vocab_size: 1000,
      max_seq_len: 77,
      use_tokenizer: false,
      embedding_dropout: 0,
    },
  );
  const image = parseModelConfig(
    'target: ldm.modules.encoders.modules.FrozenClipImageEmbedder\nparams: {model: ViT-L/14}',
    'x',
  );
  assert.ok(image.kind === 'clip_image_embedder' && image.model.vision_width === 1024);
  const linear = parseModelConfig(vq4.replace('dropout: 0.0', 'use_linear_attn: true, some_other: 3'), 'x');
  assert.ok(linear.kind === 'vq' && linear.ddconfig.attn_type === 'linear');
});

test('what would be another network than was meant is refused, by the name of the parameter', () => {
  const refused = (text: string, message: RegExp) =>
    assert.throws(() => parseModelConfig(text, 'test.yaml'), {
      name: 'StableDiffusionError',
      code: 'config-invalid',
      message,
    });
  const bare = (params: string) =>
    `target: ldm.modules.diffusionmodules.openaimodel.UNetModel\nparams: {in_channels: 4, out_channels: 4, model_channels: 64, num_res_blocks: 1, attention_resolutions: [1], ${params}}`;
  refused(
    bare('num_heads: 8, channel_mult: [1, 2], spatial_transformer_attn_type: linear'),
    /spatial_transformer_attn_type/,
  );
  refused(bare('channel_mult: [1]'), /num_heads or num_head_channels/);
  refused(bare('channel_mult: [1], num_heads: 8, use_spatial_transformer: true'), /context_dim/);
  refused(bare('channel_mult: [0.3], num_heads: 8'), /0\.3 of 64 channels is not a whole number/);
  refused(bare('channel_mult: [1], num_heads: 7'), /64 channels cannot be split by 7/);
  refused(bare('channel_mult: [1, 1, 1, 1, 1, 1, 1, 1, 1], num_heads: 8, transformer_depth: 64'), /transformer_depth/);
  refused(bare('channel_mult: [1], num_heads: 8, num_res_blocks_: 1'), /num_res_blocks_/);
  refused(bare('channel_mult: [1], num_heads: yes'), /num_heads/);
  refused(bare('channel_mult: [1], num_heads: 8').replace('64', '1e300'), /model_channels/);
  refused('target: os.system\nparams: {command: x}', /os\.system is not one we can build/);
  refused(
    'target: imagen_pytorch.Unet\nparams: {dim: 32}',
    /imagen_pytorch\.Unet is of imagen-pytorch, .* not supported/,
  );
  refused('target: 3', /needs a target/);
  refused('[1, 2]', /a list/);
  refused('', /nothing/);
  refused(
    model({ cond: '{ target: ldm.models.autoencoder.IdentityFirstStage }', params: 'conditioning_key: hyper' }),
    /conditioning_key is "hyper"/,
  );
  refused(
    model({ first: 'target: ldm.modules.encoders.modules.ClassEmbedder\nparams: {embed_dim: 3}' }),
    /should be an autoencoder/,
  );
  refused(model({ params: 'timesteps: -5' }).replace('    timesteps: 1000\n', ''), /timesteps/);
});
