/** LoRA files as they are written, and read again. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type ClipTextConfig,
  clipTextConfigSchema,
  type UNetConfig,
  unetConfigSchema,
} from '../../src/config/network-config.ts';
import { networkParameters } from '../../src/models/index.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { openLora } from '../../src/adapters/lora/lora-file.ts';
import { readFactors } from '../../src/adapters/lora/read-factors.ts';
import { type LoraFactors, loraTensors, writeLora } from '../../src/adapters/lora/write-lora.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';

const unet: UNetConfig = unetConfigSchema.parse({
  kind: 'unet',
  image_size: 8,
  in_channels: 4,
  out_channels: 4,
  model_channels: 32,
  num_res_blocks: 1,
  attention_resolutions: [2],
  channel_mult: [1, 2],
  num_heads: 4,
  use_spatial_transformer: true,
  context_dim: 24,
  legacy: false,
});
const text: ClipTextConfig = clipTextConfigSchema.parse({
  kind: 'clip_text',
  vocab_size: 600,
  hidden_size: 24,
  intermediate_size: 96,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  max_position_embeddings: 77,
  hidden_act: 'quick_gelu',
});
const shapes = {
  unet: new Map(networkParameters(unet).map(({ name, shape }) => [name, shape])),
  text: new Map(networkParameters(text).map(({ name, shape }) => [name, shape])),
};
const shapeOf = (network: 'unet' | 'text', name: string) => shapes[network].get(name);

function counted(shape: readonly number[], start: number) {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  return float32(
    shape,
    data.map((_, i) => start + i / 64),
  );
}

const factors: readonly LoraFactors[] = [
  {
    network: 'unet',
    tensor: 'middle_block.1.transformer_blocks.0.attn1.to_q.weight',
    down: counted([2, 64], 1),
    up: counted([64, 2], 2),
    alpha: 1,
  },
  {
    network: 'unet',
    tensor: 'middle_block.1.proj_in.weight',
    down: counted([2, 64, 1, 1], 3),
    up: counted([64, 2, 1, 1], 4),
    alpha: 1,
  },
  {
    network: 'unet',
    tensor: 'input_blocks.1.0.in_layers.2.weight',
    down: counted([3, 32, 3, 3], 5),
    up: counted([32, 3, 1, 1], 6),
    alpha: 3,
  },
  {
    network: 'text',
    tensor: 'transformer.text_model.encoder.layers.0.self_attn.q_proj.weight',
    down: counted([2, 24], 7),
    up: counted([24, 2], 8),
    alpha: 2,
  },
];

test('kohya: names, shapes, alpha and metadata; read again they are the same factors', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'sd-lora-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'lora.safetensors');
  await writeFileAtomic(
    path,
    writeLora(factors, { layout: 'kohya', unet, text, metadata: { ss_output_name: 'test' } }),
  );
  const source = await openWeightsAt(path);
  assert.deepEqual([...source.entries.keys()].filter((key) => key.endsWith('.alpha')).sort(), [
    'lora_te_text_model_encoder_layers_0_self_attn_q_proj.alpha',
    'lora_unet_down_blocks_0_resnets_0_conv1.alpha',
    'lora_unet_mid_block_attentions_0_proj_in.alpha',
    'lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.alpha',
  ]);
  assert.deepEqual(Object.fromEntries(source.metadata ?? []), {
    ss_network_module: 'networks.lora',
    ss_network_dim: '2',
    ss_network_alpha: '1',
    ss_network_args: '{"conv_dim":"3","conv_alpha":"3"}',
    ss_output_name: 'test',
  });
  const read = await readFactors(openLora(source), [unet, text], shapeOf);
  const byTensor = (list: readonly LoraFactors[]) => [...list].sort((a, b) => (a.tensor < b.tensor ? -1 : 1));
  assert.deepEqual(byTensor(read), byTensor(factors));
  await source.close();
});

test('diffusers: alpha is in the up factor', async () => {
  const tensors = loraTensors(factors, { layout: 'diffusers', unet, text });
  assert.deepEqual(
    [...tensors.keys()].filter((key) => key.endsWith('up.weight')),
    [
      'unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora.up.weight',
      'unet.mid_block.attentions.0.proj_in.lora.up.weight',
      'unet.down_blocks.0.resnets.0.conv1.lora.up.weight',
      'text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.up.weight',
    ],
  );
  assert.deepEqual(
    tensors.get('unet.mid_block.attentions.0.proj_in.lora.up.weight')?.data,
    factors[1]?.up.data.map((value) => value / 2),
  );
  const read = await readFactors(openLora(memoryWeights(tensors)), [unet, text], shapeOf);
  assert.deepEqual(
    read.find(({ network }) => network === 'text'),
    factors[3],
  );
});
