/** LoRAs of SDXL: modules of the second text encoder go to it, and a model without one refuses them by name. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openLora } from '../../src/adapters/lora/lora-file.ts';
import { checkpointWithLora } from '../../src/adapters/lora/with-lora.ts';
import { composedConfigSchema } from '../../src/config/composed-conditioner.ts';
import { clipTextConfigSchema } from '../../src/config/network-config.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { randomCheckpoint } from '../model/random-model.ts';

const tower = (width: number) =>
  clipTextConfigSchema.parse({
    kind: 'clip_text',
    vocab_size: 600,
    hidden_size: width,
    intermediate_size: 2 * width,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    projection_dim: width,
  });
const sdxl = randomCheckpoint(composedConfigSchema.parse({ kind: 'composed', embedders: [tower(8), tower(12)] }), 20);

const layer = 'text_model.encoder.layers.0.self_attn.q_proj';
const ones = (rows: number, columns: number): Tensor =>
  float32([rows, columns], new Float32Array(rows * columns).fill(1));
/** A change of 0.5 in every element, at alpha and rank 1. */
const file = (module: string, width: number, [down, up]: readonly [string, string]) => ({
  lora: openLora(
    memoryWeights(
      new Map<string, Tensor>([
        [`${module}.${down}.weight`, ones(1, width)],
        [`${module}.${up}.weight`, float32([width, 1], new Float32Array(width).fill(0.5))],
      ]),
      'x.safetensors',
    ),
  ),
});

for (const [name, module, roles] of [
  ['kohya', `lora_te2_${layer.replaceAll('.', '_')}`, ['lora_down', 'lora_up']],
  ['PEFT', `text_encoder_2.${layer}`, ['lora_A', 'lora_B']],
] as const)
  test(`${name}: the second encoder changes, and the first does not`, async () => {
    const merged = checkpointWithLora(sdxl, [file(module, 12, roles)]);
    const tensor = `transformer.${layer}.weight`;
    const read = async (checkpoint: typeof sdxl, part: string): Promise<Float32Array> =>
      (await checkpoint.parts[part]?.read(tensor))?.data as Float32Array;
    const [before, after] = [await read(sdxl, 'cond_stage_2'), await read(merged, 'cond_stage_2')];
    assert.ok(after.every((value, i) => Math.abs(value - (before[i] as number) - 0.5) < 1e-6));
    assert.deepEqual(await read(merged, 'cond_stage'), await read(sdxl, 'cond_stage'));
  });

test('a model with one text encoder refuses them', () => {
  const one = randomCheckpoint(tower(12), 12);
  const module = `lora_te2_${layer.replaceAll('.', '_')}`;
  assert.throws(() => checkpointWithLora(one, [file(module, 12, ['lora_down', 'lora_up'])]), {
    code: 'weights-mismatch',
    message: /lora_te2_text_model_encoder_layers_0_self_attn_q_proj/,
  });
});
