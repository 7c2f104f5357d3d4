/** Files of another family than the model's: each is refused in one line that says what the file is and what the model is. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { openControlFile } from '../../src/checkpoints/control-file.ts';
import { familyOf } from '../../src/checkpoints/family.ts';
import { familyOfLora } from '../../src/checkpoints/lora-family.ts';
import { putTogether } from '../../src/checkpoints/put-together.ts';
import type { Tokenizer } from '../../src/conditioning/conditioner.ts';
import { conditionerParts } from '../../src/config/conditioner-parts.ts';
import { ldmUNet } from '../../src/config/network-config.ts';
import { withAdapters } from '../../src/model/adapters.ts';
import type { Shape } from '../../src/tensor/tensor.ts';
import { createClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { MetadataValue, WeightSource } from '../../src/weights/weight-source.ts';
import { shapedSource } from '../checkpoints/shaped-source.ts';
import { reference } from '../reference.ts';
import { zeros } from '../../src/tensor/tensor.ts';
import { keySource } from './key-lists.ts';

type Shapes = Readonly<Record<string, Shape>>;

function v1Source(): WeightSource {
  const { keys }: { readonly keys: readonly (readonly [string, Shape])[] } = JSON.parse(
    readFileSync(reference('files/full-size/keys.json'), 'utf8'),
  );
  return shapedSource(
    keys.filter(([name]) => !/betas|alphas|posterior|log_|sqrt_/.test(name)),
    'v1.safetensors',
  );
}

const listed = (name: string, label: string): WeightSource => ({
  ...keySource(reference(`families/keys/${name}.keys.json`)),
  label,
});

const models = {
  sd1: await openCheckpoint(v1Source()),
  sd2: await openCheckpoint(listed('full-sd21', 'v2.safetensors')),
  sdxl: await openCheckpoint(listed('full-sdxl-base', 'xl.safetensors')),
  'sdxl-refiner': await openCheckpoint(listed('full-sdxl-refiner', 'refiner.safetensors')),
} as const;
type ModelId = keyof typeof models;

/** How errors speak of the models, and of what is made for them. */
const words = {
  sd1: { name: 'Stable Diffusion 1', model: 'v1.safetensors is a Stable Diffusion 1 model' },
  sd2: { name: 'Stable Diffusion 2', model: 'v2.safetensors is a Stable Diffusion 2 model' },
  sdxl: { name: 'SDXL', model: 'xl.safetensors is an SDXL model' },
  'sdxl-refiner': { name: 'the SDXL refiner', model: 'refiner.safetensors is an SDXL refiner' },
  sd3: { name: 'Stable Diffusion 3', model: '' },
  flux: { name: 'Flux', model: '' },
} as const;
type FamilyId = keyof typeof words;

function file(shapes: Shapes, metadata?: Readonly<Record<string, MetadataValue>>): WeightSource {
  const shaped = shapedSource(Object.entries(shapes), 'x.safetensors');
  return metadata ? { ...shaped, metadata: new Map(Object.entries(metadata)) } : shaped;
}

/** Files whose tensors are zeros, where the reading of a file is part of what is tested. */
const filled = (shapes: Shapes): WeightSource =>
  memoryWeights(
    new Map(Object.entries(shapes).map(([name, shape]) => [name, zeros('float32', shape)])),
    'x.safetensors',
  );

const tokenizers = (checkpoint: Checkpoint): ReadonlyMap<string, Tokenizer> =>
  new Map(
    [...conditionerParts(checkpoint.config.cond_stage_config).keys()].map((part) => [part, createClipTokenizer()]),
  );

const modelIds = Object.keys(models) as ModelId[];
const mentions = (what: string, family: FamilyId, id: ModelId): RegExp =>
  new RegExp(
    `^x\\.safetensors is ${what} for ${words[family].name}, and ${words[id].model}\\. Use it with [^\\n]*\\.$`,
  );

const context = { sd1: 768, sd2: 1024, sdxl: 2048, 'sdxl-refiner': 1280 } as const;
const attention = 'down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k';

const loras: readonly (readonly [FamilyId, string, Shapes, Readonly<Record<string, string>>?])[] = [
  ['sd1', 'kohya', { [`lora_unet_${attention}.lora_down.weight`]: [4, 768] }],
  ['sd1', 'LoHa', { [`lora_unet_${attention}.hada_w1_b`]: [4, 768], [`lora_unet_${attention}.hada_w1_a`]: [640, 4] }],
  ['sd1', 'PEFT', { 'unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight': [4, 768] }],
  [
    'sd1',
    'metadata alone',
    {
      lora_unet_mid_block_resnets_0_conv1_lora: [1],
      'lora_unet_mid_block_resnets_0_conv1.lora_down.weight': [4, 1280, 3, 3],
    },
    { ss_base_model_version: 'sd_v1' },
  ],
  ['sd2', 'kohya', { [`lora_unet_${attention}.lora_down.weight`]: [4, 1024] }],
  ['sd2', 'text encoder alone', { 'lora_te_text_model_encoder_layers_20_mlp_fc1.lora_down.weight': [4, 1024] }],
  ['sdxl', 'kohya', { 'lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k.lora_down.weight': [4, 2048] }],
  [
    'sdxl',
    'self-attentions alone',
    { 'lora_unet_middle_block_1_transformer_blocks_9_attn1_to_k.lora_down.weight': [4, 1280] },
  ],
  ['sdxl', 'second text encoder alone', { 'lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight': [4, 1280] }],
  [
    'sdxl-refiner',
    'kohya',
    { 'lora_unet_input_blocks_4_1_transformer_blocks_3_attn2_to_k.lora_down.weight': [4, 1280] },
  ],
  ['sd3', 'kohya', { 'lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight': [4, 1536] }],
  ['sd3', 'diffusers', { 'transformer.transformer_blocks.0.attn.to_k.lora_A.weight': [4, 1536] }],
  ['flux', 'kohya', { 'lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight': [4, 3072] }],
  ['flux', 'diffusers', { 'transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight': [4, 3072] }],
];

for (const [family, layout, shapes, metadata] of loras)
  test(`a LoRA for ${words[family].name} (${layout}) is refused by models of other families`, async () => {
    assert.equal(familyOfLora(file(shapes, metadata))?.id, family);
    for (const id of modelIds.filter((one) => one !== family)) {
      const checkpoint = models[id];
      const use = withAdapters({ checkpoint, tokenizers: new Map() }, { loras: [{ source: file(shapes, metadata) }] });
      await assert.rejects(use, { code: 'weights-mismatch', message: mentions('a LoRA', family, id) });
    }
  });

test('a LoRA of the model’s own family is applied', async () => {
  const shapes = {
    [`lora_unet_${attention}.lora_down.weight`]: [4, 768],
    [`lora_unet_${attention}.lora_up.weight`]: [640, 4],
  };
  const { adapters } = await withAdapters(
    { checkpoint: models.sd1, tokenizers: new Map() },
    { loras: [{ source: file(shapes) }] },
  );
  assert.deepEqual(adapters, ['lora:x:1']);
});

const embeddings: readonly (readonly [FamilyId, Shapes, readonly ModelId[]])[] = [
  ['sd1', { emb_params: [2, 768] }, ['sd1']],
  ['sd2', { emb_params: [2, 1024] }, ['sd2']],
  ['sdxl', { clip_l: [2, 768], clip_g: [2, 1280] }, ['sdxl', 'sdxl-refiner']],
  ['sd3', { clip_l: [2, 768], clip_g: [2, 1280], t5xxl: [2, 4096] }, []],
];
for (const [family, shapes, fitting] of embeddings)
  test(`a textual inversion for ${words[family].name} is refused by models of other families`, async () => {
    for (const id of modelIds) {
      const checkpoint = models[id];
      const use = withAdapters(
        { checkpoint, tokenizers: tokenizers(checkpoint) },
        { embeddings: [{ source: filled(shapes) }] },
      );
      if (fitting.includes(id)) assert.deepEqual((await use).adapters, ['embedding:x']);
      else
        await assert.rejects(use, { code: 'weights-mismatch', message: mentions('a textual inversion', family, id) });
    }
  });

const hypernetworks: readonly (readonly [FamilyId, readonly number[], readonly ModelId[]])[] = [
  ['sd1', [768, 320, 640, 1280], ['sd1']],
  ['sd2', [1024, 320, 640], ['sd2']],
  ['sdxl', [2048], ['sdxl']],
];
for (const [family, widths, fitting] of hypernetworks)
  test(`a hypernetwork for ${words[family].name} is refused by models of other families`, async () => {
    const shapes = Object.fromEntries(
      widths.flatMap((width) => [0, 1].map((i) => [`${width}/${i}/linear.0.weight`, [width, width]] as const)),
    );
    for (const id of modelIds) {
      const use = withAdapters(
        { checkpoint: models[id], tokenizers: new Map() },
        { hypernetworks: [{ source: file(shapes) }] },
      );
      if (fitting.includes(id)) assert.deepEqual((await use).adapters, ['hypernet:x:1']);
      else
        await assert.rejects(use, {
          code: 'weights-mismatch',
          message: new RegExp(
            `^x\\.safetensors is a hypernetwork \\(width [\\d, ]+\\) for .*, and ${words[id].model}\\.`,
          ),
        });
    }
  });

const ipAdapter = (width: number): Shapes => ({
  'image_proj.proj.weight': [4 * width, 1024],
  'image_proj.proj.bias': [4 * width],
  'image_proj.norm.weight': [width],
  'image_proj.norm.bias': [width],
  'ip_adapter.1.to_k_ip.weight': [320, width],
});
const gligen = (width: number): Shapes => ({
  'position_net.null_positive_feature': [width],
  'position_net.null_position_feature': [64],
  'position_net.linears.0.weight': [512, width + 64],
  'position_net.linears.4.weight': [width, 512],
});
const t2iAdapter = (inputs: number): Shapes => ({
  'conv_in.weight': [320, inputs, 3, 3],
  ...Object.fromEntries(
    [320, 640, 1280, 1280].flatMap((width, level) =>
      [0, 1].map((i) => [`body.${2 * level + i}.block1.weight`, [width, width, 3, 3]] as const),
    ),
  ),
});

function control(id: ModelId, shapes: Shapes): unknown {
  const { config, parts, label } = models[id];
  return openControlFile(file(shapes), { label, config: ldmUNet(config.unet_config), weights: parts.unet });
}

for (const [what, of] of [
  ['an IP-Adapter', ipAdapter],
  ['a GLIGEN', gligen],
] as const)
  for (const family of modelIds)
    test(`${what} for ${words[family].name} is refused by models of other families`, () => {
      for (const id of modelIds.filter((one) => one !== family))
        assert.throws(() => control(id, of(context[family])), {
          code: 'weights-mismatch',
          message: mentions(what, family, id),
        });
    });

test('a T2I-Adapter is refused by models of other families', () => {
  for (const id of ['sdxl', 'sdxl-refiner'] as const)
    assert.throws(() => control(id, t2iAdapter(192)), { message: mentions('a T2I-Adapter', 'sd1', id) });
  for (const id of ['sd1', 'sd2', 'sdxl-refiner'] as const)
    assert.throws(() => control(id, t2iAdapter(768)), { message: mentions('a T2I-Adapter', 'sdxl', id) });
});

/** The control network that is the copy of a model's UNet: half of its tensors, and a hint. */
function controlNet(id: ModelId): Shapes {
  const half = [...models[id].parts.unet.entries.values()].filter(({ name }) => !/^(output_blocks|out)\./.test(name));
  return {
    ...Object.fromEntries(half.map(({ name, shape }) => [`control_model.${name}`, shape])),
    'control_model.input_hint_block.0.weight': [16, 3, 3, 3],
    'control_model.input_hint_block.2.weight': [320, 16, 3, 3],
    'control_model.zero_convs.0.0.weight': [320, 320, 1, 1],
  };
}
for (const family of modelIds)
  test(`a ControlNet for ${words[family].name} is refused by models of other families`, () => {
    for (const id of modelIds.filter((one) => one !== family))
      assert.throws(() => control(id, controlNet(family)), { message: mentions('a ControlNet', family, id) });
  });

test('ControlNets, IP-Adapters and embeddings of Stable Diffusion 3 and Flux are called by name', () => {
  const named: readonly (readonly [RegExp, Shapes])[] = [
    [
      /Flux/,
      {
        'controlnet_x_embedder.weight': [3072, 64],
        'transformer_blocks.0.attn.to_k.weight': [3072, 3072],
        'single_transformer_blocks.0.attn.to_k.weight': [1, 1],
      },
    ],
    [
      /Stable Diffusion 3/,
      { 'pos_embed_input.proj.weight': [1536, 16, 2, 2], 'controlnet_blocks.0.weight': [1536, 1536] },
    ],
    [/Flux/, { 'double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight': [3072, 4096] }],
  ];
  for (const [name, shapes] of named) {
    assert.match(familyOf(file(shapes).entries)?.name ?? '', name);
    assert.throws(() => control('sd1', shapes), { code: 'model-unknown', message: name });
  }
});

const vae = (channels: number): Shapes => ({ 'decoder.conv_in.weight': [512, channels, 3, 3] });

test('the autoencoder of another family is refused: by its channels, its checkpoint, or its metadata', async () => {
  await assert.rejects(putTogether(v1Source(), { vae: file(vae(16)) }), {
    code: 'weights-mismatch',
    message: /^x\.safetensors is an autoencoder \(VAE\) for Stable Diffusion 3 or Flux: .*v1\.safetensors/,
  });
  for (const [model, other, family] of [
    [v1Source(), listed('full-sdxl-base', 'xl.safetensors'), 'SDXL'],
    [listed('full-sd21', 'v2.safetensors'), listed('full-sdxl-refiner', 'refiner.safetensors'), 'the SDXL refiner'],
    [listed('full-sdxl-base', 'xl.safetensors'), v1Source(), 'Stable Diffusion 1'],
  ] as const)
    await assert.rejects(putTogether(model, { vae: other }), {
      code: 'weights-mismatch',
      message: new RegExp(`^${other.label} is an autoencoder \\(VAE\\) for ${family}, and ${model.label} is `),
    });
  const marked = file(vae(4), { 'modelspec.architecture': 'stable-diffusion-xl-v1-base/vae' });
  await assert.rejects(putTogether(v1Source(), { vae: marked }), { message: /for SDXL, and v1\.safetensors/ });
});

test('Stable Diffusion 1 and 2 share their autoencoder, and so do SDXL and its refiner', async () => {
  await putTogether(v1Source(), { vae: listed('full-sd21', 'v2.safetensors') });
  await putTogether(listed('full-sdxl-refiner', 'refiner.safetensors'), {
    vae: listed('full-sdxl-base', 'xl.safetensors'),
  });
});
