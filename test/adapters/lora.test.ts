/** LoRA files: names of layers in every layout, strengths, alpha, DoRA, and what is wrong with a file. Merged tensors are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { networkConfigSchema, type NetworkConfig } from '../../src/config/network-config.ts';
import { parseModelConfig } from '../../src/config/model-config.ts';
import { StableDiffusionError } from '../../src/errors.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { canonicalWeights } from '../../src/checkpoints/canonical.ts';
import { openLora } from '../../src/adapters/lora/lora-file.ts';
import { withLora } from '../../src/adapters/lora/with-lora.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { reference } from '../reference.ts';
import { readTensors } from '../tensors.ts';

function readConfig(folder: string): NetworkConfig {
  const path = join(reference(`networks/${folder}`), 'config.yaml');
  return networkConfigSchema.parse(parseModelConfig(readFileSync(path, 'utf8'), path));
}

const unetConfig = readConfig('unet_sd');
const textConfig = networkConfigSchema.parse(
  parseModelConfig(
    readFileSync(join(reference('networks/clip_text_quick_gelu'), 'config.json'), 'utf8'),
    'config.json',
  ),
);
const canonical = (name: string, config: NetworkConfig): (() => WeightSource) => {
  const tensors = readTensors(reference(`networks/${name}/weights.safetensors`));
  return () => canonicalWeights(memoryWeights(tensors, name), config).source;
};
const unetWeights = canonical('unet_sd', unetConfig);
const textWeights = canonical('clip_text_quick_gelu', textConfig);

const q = 'middle_block.1.transformer_blocks.0.attn1.to_q.weight';
const ones = (shape: readonly number[]): Tensor =>
  float32(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1));
const rankOne = (keys: readonly [down: string, up: string], others: ReadonlyMap<string, Tensor> = new Map()) =>
  openLora(memoryWeights(new Map([[keys[0], ones([1, 32])], [keys[1], ones([32, 1])], ...others]), 'a LoRA'));

test('every layout names the same layer', async () => {
  const diffusers = 'mid_block.attentions.0.transformer_blocks.0.attn1';
  const layouts: readonly (readonly [string, string])[] = [
    [
      'lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight',
      'lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight',
    ],
    [
      'lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q.lora_down.weight',
      'lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q.lora_up.weight',
    ],
    [`unet.${diffusers}.to_q.lora_A.weight`, `unet.${diffusers}.to_q.lora_B.weight`],
    [`unet.${diffusers}.to_q.lora.down.weight`, `unet.${diffusers}.to_q.lora.up.weight`],
    [`unet.${diffusers}.processor.to_q_lora.down.weight`, `unet.${diffusers}.processor.to_q_lora.up.weight`],
    [`${diffusers}.processor.to_q_lora.down.weight`, `${diffusers}.processor.to_q_lora.up.weight`],
    [
      `base_model.model.${diffusers}.to_q.lora_A.default.weight`,
      `base_model.model.${diffusers}.to_q.lora_B.default.weight`,
    ],
    [
      'diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.lora_down.weight',
      'diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.lora_up.weight',
    ],
  ];
  const base = (await unetWeights().read(q)).data as Float32Array;
  for (const keys of layouts) {
    const got = await withLora(unetWeights(), unetConfig, [{ lora: rankOne(keys), scale: 0.5 }]).read(q);
    assert.deepEqual(
      got.data,
      base.map((value) => value + 0.5),
      keys[0],
    );
  }
});

test('text encoder keys of kohya, PEFT and older diffusers', async () => {
  const tensor = 'transformer.text_model.encoder.layers.1.self_attn.out_proj.weight';
  const base = (await textWeights().read(tensor)).data as Float32Array;
  for (const [module, down, up] of [
    ['lora_te_text_model_encoder_layers_1_self_attn_out_proj', 'lora_down', 'lora_up'],
    ['lora_te1_text_model_encoder_layers_1_self_attn_out_proj', 'lora_down', 'lora_up'],
    ['text_encoder.text_model.encoder.layers.1.self_attn.out_proj', 'lora_A', 'lora_B'],
    ['text_encoder.encoder.layers.1.self_attn.out_proj', 'lora_A', 'lora_B'],
    ['text_encoder.text_model.encoder.layers.1.self_attn.out_proj', 'lora_linear_layer.down', 'lora_linear_layer.up'],
    ['text_encoder.text_model.encoder.layers.1.self_attn', 'to_out_lora.down', 'to_out_lora.up'],
  ]) {
    const got = await withLora(textWeights(), textConfig, [
      { lora: rankOne([`${module}.${down}.weight`, `${module}.${up}.weight`]) },
    ]).read(tensor);
    assert.deepEqual(
      got.data,
      base.map((value) => value + 1),
      `${module} ${down}`,
    );
  }
});

test('several LoRAs add up, each with its strength; textScale is for the text encoder alone', async () => {
  const keys = [
    'unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight',
    'unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_B.weight',
  ] as const;
  const base = (await unetWeights().read(q)).data as Float32Array;
  const got = await withLora(unetWeights(), unetConfig, [
    { lora: rankOne(keys), scale: 2, textScale: 100 },
    { lora: rankOne(keys), scale: -0.5 },
  ]).read(q);
  assert.deepEqual(
    got.data,
    base.map((value) => Math.fround(Math.fround(value + 2) - 0.5)),
  );
});

test('alpha of PEFT from the metadata that diffusers writes', async () => {
  const module = 'unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q';
  const source = memoryWeights(
    new Map([
      [`${module}.lora_A.weight`, ones([1, 32])],
      [`${module}.lora_B.weight`, ones([32, 1])],
    ]),
    'a LoRA',
  );
  const base = (await unetWeights().read(q)).data as Float32Array;
  for (const [settings, scale] of [
    [{ 'unet.r': 1, 'unet.lora_alpha': 4 }, 4],
    [{ 'unet.lora_alpha': 4, 'unet.alpha_pattern': { 'attn1.to_q': 8 } }, 8],
  ] as const) {
    const lora = openLora({ ...source, metadata: new Map([['lora_adapter_metadata', JSON.stringify(settings)]]) });
    assert.deepEqual(
      (await withLora(unetWeights(), unetConfig, [{ lora }]).read(q)).data,
      base.map((value) => value + scale),
    );
  }
});

test('DoRA: magnitudes of PEFT and LyCORIS by output, of older LyCORIS by input', async () => {
  const keys = [
    'lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight',
    'lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight',
  ] as const;
  const module = keys[0].replace(/\.lora_down.*/, '');
  const base = (await unetWeights().read(q)).data as Float32Array;
  const magnitude = Float32Array.from({ length: 32 }, (_, i) => 1 + i / 8);
  for (const [suffix, shape, byInput] of [
    ['dora_scale', [32, 1], false],
    ['lora_magnitude_vector', [32], false],
    ['dora_scale', [1, 32], true],
  ] as const) {
    const lora = rankOne(keys, new Map([[`${module}.${suffix}`, float32(shape, magnitude)]]));
    const got = (await withLora(unetWeights(), unetConfig, [{ lora, scale: 0.5 }]).read(q)).data as Float32Array;
    const groupOf = (i: number): number => (byInput ? i % 32 : Math.floor(i / 32));
    const norms = new Float64Array(32);
    for (const [i, value] of base.entries()) norms[groupOf(i)] = (norms[groupOf(i)] as number) + (value + 1) ** 2;
    const error = base.reduce((largest, value, i) => {
      const full = ((value + 1) * (magnitude[groupOf(i)] as number)) / Math.sqrt(norms[groupOf(i)] as number);
      return Math.max(largest, Math.abs((got[i] as number) - (0.5 * full + 0.5 * value)));
    }, 0);
    assert.ok(error < 1e-6, `${suffix} [${shape.join(', ')}]: ${error}`);
  }
});

const mismatch =
  (pattern: RegExp) =>
  (error: unknown): boolean =>
    error instanceof StableDiffusionError && error.code === 'weights-mismatch' && pattern.test(error.message);

test('factors that do not fit each other are reported with their module when they are read', async () => {
  const module = 'unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q';
  const lora = openLora(
    memoryWeights(
      new Map([
        [`${module}.lora_A.weight`, ones([2, 32])],
        [`${module}.lora_B.weight`, ones([32, 3])],
      ]),
      'a LoRA',
    ),
  );
  await assert.rejects(
    withLora(unetWeights(), unetConfig, [{ lora }]).read(q),
    mismatch(/attn1_to_q do not fit each other/),
  );
});

test('keys without a layer, keys that are none, wrong sizes and halves are reported by name', () => {
  const keys = [
    'lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight',
    'lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight',
  ] as const;
  const merge = (lora: ReturnType<typeof openLora>) => () => withLora(unetWeights(), unetConfig, [{ lora }]);
  assert.throws(
    merge(
      rankOne(
        keys,
        new Map([
          ['lora_unet_mid_block_attentions_9_to_q.alpha', float32([], [1])],
          ['something.else', ones([1])],
        ]),
      ),
    ),
    mismatch(/something\.else/),
  );
  assert.throws(
    merge(rankOne(['lora_unet_nowhere.lora_down.weight', 'lora_unet_nowhere.lora_up.weight'])),
    mismatch(/lora_unet_nowhere\.lora_down\.weight/),
  );
  assert.throws(
    merge(rankOne([keys[0].replace('to_q', 'to_q'), 'lora_unet_conv_in.lora_up.weight'])),
    mismatch(/some are missing/),
  );
  assert.throws(
    merge(rankOne([keys[0].replace('attn1_to_q', 'ff_net_2'), keys[1].replace('attn1_to_q', 'ff_net_2')])),
    mismatch(/another size.*ff_net_2/),
  );
  assert.throws(() => openLora(memoryWeights(new Map([['a.b', ones([1])]]))), { code: 'file-unsupported' });
});

test('a DoRA of the input convolution changes the first channels of an inpainting model, as those of its own', async () => {
  const name = 'input_blocks.0.0.weight';
  const own = (await unetWeights().read(name)) as Tensor<'float32'>;
  const [out = 0, channels = 0, height = 0, width = 0] = own.shape;
  const [columns, all] = [channels * height * width, (2 * channels + 1) * height * width];
  const data = new Float32Array(out * all).fill(0.25);
  for (let row = 0; row < out; row++) data.set(own.data.subarray(row * columns, (row + 1) * columns), row * all);
  const source = unetWeights();
  const entry = { name, dtype: 'float32', shape: [out, 2 * channels + 1, height, width] } as const;
  const wide: WeightSource = {
    ...source,
    entries: new Map([...source.entries, [name, entry]]),
    read: async (wanted, signal) =>
      wanted === name ? { dtype: 'float32', shape: entry.shape, data: data.slice() } : source.read(wanted, signal),
  };
  for (const scale of [
    float32([out, 1, 1, 1], new Float32Array(out).fill(2)),
    float32([1, channels, 1, 1], new Float32Array(channels).fill(3)),
  ]) {
    const lora = openLora(
      memoryWeights(
        new Map([
          ['lora_unet_conv_in.lora_down.weight', ones([1, channels, height, width])],
          ['lora_unet_conv_in.lora_up.weight', ones([out, 1, 1, 1])],
          ['lora_unet_conv_in.dora_scale', scale],
        ]),
        'a DoRA',
      ),
    );
    const narrow = (await withLora(unetWeights(), unetConfig, [{ lora }]).read(name)).data as Float32Array;
    const config = { ...unetConfig, in_channels: 2 * channels + 1 } as NetworkConfig;
    const got = (await withLora(wide, config, [{ lora }]).read(name)).data as Float32Array;
    for (let row = 0; row < out; row++) {
      assert.deepEqual(got.slice(row * all, row * all + columns), narrow.slice(row * columns, (row + 1) * columns));
      assert.ok(got.slice(row * all + columns, (row + 1) * all).every((value) => value === 0.25));
    }
  }
});
