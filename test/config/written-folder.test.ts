/** The JSON files of a diffusers folder say what the configuration says: size conditions, the x4 upscaler. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  lowResolutionDocument,
  modelIndexDocument,
  sizesWidthOf,
  unetDocument,
} from '../../src/config/diffusers-documents.ts';
import { composedConfigSchema } from '../../src/config/composed-conditioner.ts';
import { huggingFaceNetwork } from '../../src/config/hugging-face-network.ts';
import { clipTextConfigSchema, ldmUNet } from '../../src/config/network-config.ts';
import { randomCheckpoint } from '../model/random-model.ts';

const text = clipTextConfigSchema.parse({
  kind: 'clip_text',
  hidden_size: 16,
  intermediate_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 1,
  projection_dim: 8,
  with_projection: true,
  pooled_output: true,
});

test('the width of the size conditions is that of the model', () => {
  const sizes = { kind: 'sizes', fields: ['original', 'crop', 'aesthetic'], width: 4 };
  const condition = composedConfigSchema.parse({ kind: 'composed', embedders: [text, sizes] });
  const { config } = randomCheckpoint(condition, 16, { unet: { adm_in_channels: 28 } });
  const document = unetDocument(ldmUNet(config.unet_config), 8, sizesWidthOf(config));
  assert.deepEqual([document['addition_embed_type'], document['addition_time_embed_dim']], ['text_time', 4]);
});

const lowScale = {
  kind: 'low_scale',
  timesteps: 1000,
  beta_schedule: 'linear',
  linear_start: 1e-4,
  linear_end: 2e-2,
  max_noise_level: 350,
} as const;

test('the x4 upscaler: cross attention alone in some levels, its class of pipeline, the schedule of its noise', () => {
  const { config } = randomCheckpoint(text, 16, {
    unet: {
      in_channels: 7,
      num_classes: 1000,
      attention_resolutions: [1, 2],
      disable_self_attentions: [true, false],
    },
    config: { image_condition: lowScale },
  });
  const unet = ldmUNet(config.unet_config);
  const document = unetDocument(unet, 8, sizesWidthOf(config));
  assert.deepEqual(document['only_cross_attention'], [true, false]);
  const read = ldmUNet(huggingFaceNetwork(document, 'the folder') as typeof unet);
  assert.deepEqual([read.disable_self_attentions, read.num_classes, read.in_channels], [[true, false], 1000, 7]);
  assert.equal(modelIndexDocument(config, false)['_class_name'], 'StableDiffusionUpscalePipeline');
  const noise = lowResolutionDocument(config);
  assert.deepEqual([noise?.['beta_schedule'], noise?.['beta_end']], ['scaled_linear', 2e-2]);
  assert.throws(() => huggingFaceNetwork({ ...document, only_cross_attention: true }, 'the folder'), {
    code: 'config-invalid',
    message: /only_cross_attention is true; false and a list/,
  });
});

test('a folder for a condition whose network is not written is refused by name', () => {
  const { config } = randomCheckpoint(text, 16, {
    unet: { in_channels: 5 },
    config: { image_condition: { kind: 'depth', network: null } },
  });
  assert.throws(() => modelIndexDocument(config, false), { code: 'config-invalid', message: /on an image \(depth\)/ });
});
