/** What a file holds, from its names and shapes: every network of the reference set whose weights lie in a file. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { NetworkConfig } from '../../src/config/network-config.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import { StableDiffusionError } from '../../src/errors.ts';
import { networkParameters } from '../../src/models/index.ts';
import { detectNetwork } from '../../src/checkpoints/detect.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { openNetwork } from '../../src/checkpoints/network-weights.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { compareParameters } from '../../src/checkpoints/report.ts';
import { withNames } from '../../src/weights/view.ts';
import { findReference, reference, skipUnless } from '../reference.ts';
import { readTensors } from '../tensors.ts';
import { shapedSource } from './shaped-source.ts';

/** Fields that leave no trace in a file: they are not compared. `assumed` names those that matter. */
const traceless = new Set([
  'num_heads',
  'num_head_channels',
  'num_heads_upsample',
  'num_attention_heads',
  'transformer_heads',
  'legacy',
  'use_new_attention_order',
  'use_checkpoint',
  'image_size',
  'resolution',
  'attn_resolutions',
  'hidden_act',
  'eos_token_id',
  'bos_token_id',
  'pad_token_id',
  'key',
  'use_tokenizer',
  'with_projection',
  'projection_dim',
  'method',
  'multiplier',
  'n_stages',
  'interface',
]);

function traced(config: NetworkConfig): unknown {
  return JSON.parse(JSON.stringify(config, (name, value: unknown) => (traceless.has(name) ? undefined : value)));
}

const cases: readonly (readonly [string, string])[] = [
  ['unet_sd', 'compvis'],
  ['unet_sd_diffusers', 'diffusers'],
  ['unet_inpaint9', 'compvis'],
  ['unet_concat8_depth2_odd', 'compvis'],
  ['unet_adm_old_order', 'compvis'],
  ['unet_adm_new_order', 'compvis'],
  ['kl_sd', 'compvis'],
  ['kl_sd_diffusers', 'diffusers'],
  ['kl_attn', 'compvis'],
  ['vq', 'compvis'],
  ['clip_text_quick_gelu', 'compvis'],
  ['clip_text_quick_gelu_hf', 'transformers'],
  ['clip_text_gelu', 'compvis'],
  ['clip_vision', 'transformers'],
  ['openai_clip', 'openai-clip'],
  ['safety_checker', 'diffusers'],
  ['bert_embedder', 'compvis'],
  ['class_embedder', 'compvis'],
  ['spatial_rescaler_bilinear', 'compvis'],
  ['spatial_rescaler_nearest', 'compvis'],
  ['taesd', 'diffusers'],
];

for (const [name, layout] of cases) {
  const weights = `networks/${name}/weights.safetensors`;
  test(`${name}: the architecture of its configuration, without it`, { skip: skipUnless(weights) }, async () => {
    const path = findReference(weights) ?? '';
    const folder = join(path, '..');
    const source = memoryWeights(readTensors(path));
    const file = ['config.yaml', 'config.json'].find((config) => existsSync(join(folder, config))) ?? '';
    const text = readFileSync(join(folder, file), 'utf8');
    const found = detectNetwork(source);
    assert.equal(found.layout, layout);
    const opened = await openNetwork(source, { config: parseYaml(text, file) });
    assert.deepEqual(traced(found.config), traced(opened.config));
    assert.deepEqual([...found.source.entries.keys()].sort(), [...opened.source.entries.keys()].sort());
    const report = compareParameters(networkParameters(opened.config), opened.source);
    assert.deepEqual(
      [report.missing, report.unexpected, report.misshapen],
      [[], [], []],
      'strict: nothing missing, unexpected or misshapen',
    );
    assert.deepEqual(compareParameters(networkParameters(found.config), found.source).missing, []);
  });
}

for (const name of ['encoder_unet_adaptive', 'encoder_unet_attention']) {
  const weights = `networks/${name}/weights.safetensors`;
  test(`${name}: its configuration names every parameter of its file`, { skip: skipUnless(weights) }, async () => {
    const path = findReference(weights) ?? '';
    const opened = await openNetwork(memoryWeights(readTensors(path)), {
      config: parseYaml(readFileSync(join(path, '../config.yaml'), 'utf8'), name),
    });
    const report = compareParameters(networkParameters(opened.config), opened.source);
    assert.deepEqual([report.missing, report.unexpected, report.misshapen], [[], [], []]);
  });
}

/** Names that diffusers and transformers give models of other topologies; `made_with` in the file says which versions. */
const named: {
  readonly models: Readonly<
    Record<string, { readonly config: unknown; readonly keys: Readonly<Record<string, number[]>> }>
  >;
} = JSON.parse(readFileSync(reference('layouts/hugging-face-names.json'), 'utf8'));

for (const [name, { config, keys }] of Object.entries(named.models)) {
  test(`names of Hugging Face's own models: ${name}`, async () => {
    const source = shapedSource(Object.entries(keys), name);
    for (const opened of [await openNetwork(source, { config }), detectNetwork(source)]) {
      const report = compareParameters(networkParameters(opened.config), opened.source);
      assert.deepEqual([report.missing, report.unexpected, report.misshapen], [[], [], []]);
    }
  });
}

test('one part of a whole checkpoint, with and without its configuration', {
  skip: skipUnless('diffusion/pipelines/tiny.ckpt'),
}, async () => {
  const path = findReference('diffusion/pipelines/tiny.ckpt') ?? '';
  const source = await openWeightsAt(path);
  try {
    const yaml = parseYaml(readFileSync(path.replace('.ckpt', '.yaml'), 'utf8'), 'tiny.yaml');
    for (const part of ['unet', 'first_stage', 'cond_stage'] as const) {
      for (const config of [undefined, yaml]) {
        const opened = await openNetwork(source, { part, config });
        assert.deepEqual(compareParameters(networkParameters(opened.config), opened.source).missing, []);
      }
    }
    await assert.rejects(openNetwork(source), { code: 'invalid-argument', message: /choose one part/ });
    await assert.rejects(openNetwork(source, { part: 'safety' }), {
      code: 'invalid-argument',
      message: /no network safety/,
    });
  } finally {
    await source.close();
  }
});

test('with attention in the levels of an autoencoder the nominal resolution is assumed, and the levels are right', {
  skip: skipUnless('networks/kl_attn/weights.safetensors'),
}, () => {
  const { config, assumed } = detectNetwork(
    memoryWeights(readTensors(findReference('networks/kl_attn/weights.safetensors') ?? '')),
  );
  assert.equal(config.kind, 'kl');
  if (config.kind === 'kl') assert.deepEqual(config.ddconfig.attn_resolutions, [128]);
  assert.deepEqual(assumed, ['resolution 256']);
});

test('the halves of the original TAESD are known', () => {
  const shapes = [...readTensors(findReference('networks/taesd/taesd_decoder.safetensors') ?? '')].map(
    ([name, { shape }]) => [name, shape] as const,
  );
  const { config, layout } = detectNetwork(shapedSource(shapes));
  assert.equal(layout, 'taesd');
  assert.equal(config.kind, 'taesd');
  if (config.kind === 'taesd')
    assert.deepEqual(
      [config.num_decoder_blocks, config.latent_channels, config.decoder_block_out_channels],
      [[3, 3, 3, 1], 4, [10, 10, 10, 10]],
    );
});

test('what is of no known layout is refused by what its names begin with', () => {
  const lora = shapedSource(
    [
      ['lora_unet_down_blocks_0.lora_up.weight', [4, 4]],
      ['lora_te_text_model.alpha', []],
    ],
    'lora.safetensors',
  );
  assert.throws(
    () => detectNetwork(lora),
    (error) =>
      error instanceof StableDiffusionError &&
      error.code === 'model-unknown' &&
      /lora\.safetensors.*lora_unet_down_blocks_N/.test(error.message),
  );
  assert.throws(() => detectNetwork(shapedSource([])), { code: 'model-unknown' });
});

test('a damaged UNet is refused by what is wrong with it', {
  skip: skipUnless('networks/unet_sd/weights.safetensors'),
}, () => {
  const source = memoryWeights(readTensors(findReference('networks/unet_sd/weights.safetensors') ?? ''));
  const without = (pattern: RegExp) => withNames(source, (name) => (pattern.test(name) ? undefined : name));
  assert.throws(() => detectNetwork(without(/out\.2\.weight/)), /out\.2\.weight is missing/);
  assert.throws(() => detectNetwork(without(/middle_block\.0\.emb_layers/)), { code: 'model-unknown' });
  assert.throws(() => detectNetwork(without(/attn2\.to_k/)), { code: 'model-unknown' });
});
