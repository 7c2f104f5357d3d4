/** What a file is: the families that people have, by their names and shapes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { familyOf } from '../../src/checkpoints/family.ts';
import { openLora } from '../../src/adapters/lora/lora-file.ts';
import { partNetwork } from '../../src/checkpoints/put-together.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';

/** A file by its header. */
const headed = (entries: Readonly<Record<string, readonly number[]>>): WeightSource => ({
  label: 'x.safetensors',
  entries: new Map(Object.entries(entries).map(([name, shape]) => [name, { name, dtype: 'float16', shape }])),
  read: () => assert.fail('only the header is needed'),
  close: async () => {},
});

const attention = 'model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight';
const families: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>> = {
  sd3: { 'model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight': [1, 1] },
  flux: { 'double_blocks.0.img_attn.qkv.weight': [1, 1], 'single_blocks.0.linear1.weight': [1, 1] },
  'imagen-pytorch': { 'unets.0.init_conv.convs.0.weight': [1, 1], 'unets.0.to_time_hiddens.1.weight': [1, 1] },
  auraflow: { 'model.double_layers.0.attn.w1k.weight': [1, 1], 'model.single_layers.0.attn.w1q.weight': [1, 1] },
  'hunyuan-video': {
    'double_blocks.0.x': [1],
    'single_blocks.0.x': [1],
    'txt_in.individual_token_refiner.blocks.0.x': [1],
  },
  'qwen-image': { 'transformer_blocks.0.attn.add_q_proj.weight': [1, 1], 'transformer_blocks.0.txt_mlp.net.2.x': [1] },
  wan: { 'blocks.0.self_attn.q.weight': [1, 1], 'head.modulation': [1, 2, 1] },
  svd: { 'model.diffusion_model.input_blocks.1.1.time_mixer.mix_factor': [1] },
  controlnet: { 'control_model.input_blocks.0.0.weight': [320, 4, 3, 3] },
  upscaler: { 'body.0.rdb1.conv1.weight': [32, 64, 3, 3], 'conv_first.weight': [64, 3, 3, 3] },
  'lora-sdxl': { 'lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight': [8, 2048] },
  'lora-flux': { 'lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight': [8, 3072] },
  lora: { 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight': [8, 768] },
};

for (const [id, entries] of Object.entries(families))
  test(`${id} is recognised, and named where it is opened as a model`, async () => {
    const family = familyOf(headed(entries).entries);
    assert.equal(family?.id, id);
    await assert.rejects(openCheckpoint(headed(entries)), {
      code: 'model-unknown',
      message: new RegExp(`^x\\.safetensors is ${family?.name}( \\(it has [^)]*\\))?\\. ${family?.advice}$`),
    });
  });

test('a model of this program is of none of these families', () => {
  const encoders: readonly Readonly<Record<string, readonly number[]>>[] = [
    { 'cond_stage_model.transformer.text_model.x': [1] },
    { 'cond_stage_model.model.transformer.resblocks.0.x': [1] },
    { 'conditioner.embedders.0.transformer.text_model.x': [1], 'conditioner.embedders.1.model.x': [1] },
  ];
  for (const more of encoders)
    assert.equal(familyOf(headed({ [attention]: [320, 768], 'first_stage_model.x': [1], ...more }).entries), undefined);
});

test('a file given as another part of a model is named, with what it is', async () => {
  const adapter = headed({ 'image_proj.proj.weight': [1, 1], 'ip_adapter.1.to_k_ip.weight': [1, 1] });
  await assert.rejects(partNetwork(adapter, 'first_stage'), { message: /^x\.safetensors is an IP-Adapter/ });
  assert.throws(() => openLora(headed(families.sd3 ?? {})), {
    message: 'x.safetensors is a Stable Diffusion 3 model, not a LoRA.',
  });
});
