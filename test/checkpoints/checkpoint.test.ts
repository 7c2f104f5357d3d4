/** Whole checkpoints: SD v1 and its kin from names and shapes alone, with LDM's YAML, as a diffusers folder; averaged weights. */

import { ldmUNet } from '../../src/config/network-config.ts';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkpointNetworks } from '../../src/checkpoints/checkpoint-networks.ts';
import { networkParameters } from '../../src/models/index.ts';
import type { Shape } from '../../src/tensor/tensor.ts';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { compVisWeights, diffusersWeights } from '../../src/checkpoints/convert-layout.ts';
import { diffusersCheckpoint } from '../../src/checkpoints/diffusers.ts';
import { emaName } from '../../src/checkpoints/ema.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { compareParameters, ignoredReason, isMatch } from '../../src/checkpoints/report.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { findReference, reference, skipUnless } from '../reference.ts';
import { shapedSource, shapesOf } from './shaped-source.ts';

const keys: Readonly<Record<string, { readonly shape: number[]; readonly part: string }>> = JSON.parse(
  readFileSync(reference('networks/full-sd-v1.keys.json'), 'utf8'),
).keys;

/** SD v1's names and shapes, without the schedule's buffers (they would be read). */
function sdV1(change: Readonly<Record<string, Shape>> = {}): Map<string, Shape> {
  const shapes = Object.entries(keys).filter(([, key]) => key.part !== 'schedule');
  return new Map([...shapes.map(([name, { shape }]) => [name, shape] as const), ...Object.entries(change)]);
}

/** Every part holds exactly the parameters of the network that its configuration says. */
function assertStrict({ config, parts, safety_config: safety }: Checkpoint): void {
  const networks = checkpointNetworks({ config, parts, safety_config: safety });
  for (const { config: network, weights } of networks.values()) {
    const report = compareParameters(networkParameters(network), weights);
    assert.ok(isMatch(report), JSON.stringify(report).slice(0, 500));
  }
}

test('a bare SD v1 file: the values of v1-inference.yaml, and each of its 1,131 names has its place', async () => {
  const opened = await openCheckpoint(shapedSource(sdV1(), 'v1.safetensors'));
  const { config } = opened;
  assert.equal(opened.kind, 'txt2img');
  assert.equal(opened.layout, 'compvis');
  assert.equal(opened.ema, 'absent');
  assert.deepEqual(opened.unused, []);
  assert.deepEqual(
    [
      config.timesteps,
      config.beta_schedule,
      config.linear_start,
      config.linear_end,
      config.scale_factor,
      config.channels,
      config.image_size,
      config.conditioning_key,
      config.parameterization,
    ],
    [1000, 'linear', 0.00085, 0.012, 0.18215, 4, 64, 'crossattn', 'eps'],
  );
  const { first_stage_config: vae, cond_stage_config: text } = config;
  const unet = ldmUNet(config.unet_config);
  assert.deepEqual(
    [unet.model_channels, unet.channel_mult, unet.num_res_blocks, unet.attention_resolutions],
    [320, [1, 2, 4, 4], 2, [1, 2, 4]],
  );
  assert.deepEqual(
    [unet.num_heads, unet.context_dim, unet.transformer_depth, unet.in_channels, unet.out_channels],
    [8, 768, 1, 4, 4],
  );
  assert.ok(
    vae.kind === 'kl' &&
      vae.embed_dim === 4 &&
      vae.ddconfig.ch === 128 &&
      vae.ddconfig.ch_mult.join() === '1,2,4,4' &&
      vae.ddconfig.attn_resolutions.length === 0,
  );
  assert.ok(text !== null && text !== 'first_stage' && text.kind === 'clip_text');
  assert.deepEqual(
    [text.vocab_size, text.hidden_size, text.num_attention_heads, text.num_hidden_layers, text.hidden_act],
    [49408, 768, 12, 12, 'quick_gelu'],
  );
  assertStrict(opened);
});

test('9 input channels are inpainting, 8 are InstructPix2Pix, and other numbers are neither', async () => {
  const input = 'model.diffusion_model.input_blocks.0.0.weight';
  for (const [channels, kind, key] of [
    [9, 'inpaint', 'hybrid'],
    [8, 'ip2p', 'hybrid'],
    [7, 'other', 'hybrid'],
    [4, 'txt2img', 'crossattn'],
  ] as const) {
    const opened = await openCheckpoint(shapedSource(sdV1({ [input]: [320, channels, 3, 3] })));
    assert.deepEqual(
      [opened.kind, opened.config.conditioning_key, opened.config.unet_config.in_channels],
      [kind, key, channels],
    );
  }
});

test('truncated and extended vocabularies are taken from the file', async () => {
  const table = 'cond_stage_model.transformer.text_model.embeddings.token_embedding.weight';
  const { config } = await openCheckpoint(shapedSource(sdV1({ [table]: [8192, 768] })));
  assert.ok(
    config.cond_stage_config !== null &&
      config.cond_stage_config !== 'first_stage' &&
      config.cond_stage_config.kind === 'clip_text',
  );
  assert.deepEqual([config.cond_stage_config.vocab_size, config.cond_stage_config.eos_token_id], [8192, 8191]);
});

test('autoencoder attention saved as linear layers, and text encoders saved without text_model, are read as they are', async () => {
  const shapes = new Map(
    Array.from(sdV1(), ([name, shape]) => [
      name.replace('transformer.text_model.', 'transformer.'),
      /first_stage_model\..*attn_1\.(q|k|v|proj_out)\.weight/.test(name) ? shape.slice(0, 2) : shape,
    ]),
  );
  assertStrict(await openCheckpoint(shapedSource(shapes)));
});

test('a file without its autoencoder or text encoder, and one of another family, say so', async () => {
  const without = (prefix: string) =>
    shapedSource(
      [...sdV1()].filter(([name]) => !name.startsWith(prefix)),
      'half.safetensors',
    );
  await assert.rejects(openCheckpoint(without('first_stage_model.')), {
    code: 'weights-mismatch',
    message: /half\.safetensors has a UNet and no autoencoder/,
  });
  await assert.rejects(openCheckpoint(without('cond_stage_model.')), {
    code: 'weights-mismatch',
    message: /text encoder/,
  });
  await assert.rejects(openCheckpoint(without('model.diffusion_model.')), { code: 'model-unknown' });
  const v2 = new Map([...sdV1()].filter(([name]) => !name.startsWith('cond_stage_model.')));
  v2.set('cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight', [3072, 1024]);
  await assert.rejects(openCheckpoint(shapedSource(v2)), { code: 'model-unknown', message: /cond_stage_model\.model/ });
});

test('what belongs to no part is named, except what is known to be harmless', async () => {
  const shapes = sdV1({
    'control_model.input_blocks.0.0.weight': [1],
    'model_ema.decay': [],
    logvar: [1000],
    alphas_cumprod: [1000],
    'first_stage_model.loss.logvar': [],
  });
  const opened = await openCheckpoint(shapedSource(shapes));
  assert.deepEqual(opened.unused, ['control_model.input_blocks.0.0.weight']);
  for (const [name, key] of Object.entries(keys))
    assert.equal(ignoredReason(name) !== undefined, key.part === 'schedule' || name.endsWith('position_ids'), name);
  assertStrict(opened);
});

test('averaged weights: used on request, under the names of the model', async () => {
  const name = 'model.diffusion_model.input_blocks.0.0.weight';
  const shapes = sdV1({ 'model_ema.decay': [], 'model_ema.num_updates': [] });
  for (const key of [...shapes.keys()]) if (key.startsWith('model.')) shapes.set(emaName(key), shapes.get(key) ?? []);
  assert.ok(shapes.has('model_ema.diffusion_modelinput_blocks00weight'));
  const file = shapedSource(shapes);
  const read: string[] = [];
  const source = {
    ...file,
    async read(wanted: string) {
      read.push(wanted);
      return float32([1], [1]);
    },
  };
  const last = await openCheckpoint(source);
  const averaged = await openCheckpoint(source, { ema: true });
  assert.deepEqual([last.ema, averaged.ema], ['available', 'used']);
  await last.parts.unet.read(name.slice('model.diffusion_model.'.length));
  await averaged.parts.unet.read(name.slice('model.diffusion_model.'.length));
  assert.deepEqual(read, [name, 'model_ema.diffusion_modelinput_blocks00weight']);
  assertStrict(averaged);
  await assert.rejects(openCheckpoint(shapedSource(sdV1()), { ema: true }), {
    code: 'weights-mismatch',
    message: /no averaged weights/,
  });
});

test('the schedule is read from the buffers of a file without a configuration', async () => {
  const [start, end] = [Math.sqrt(0.0015), Math.sqrt(0.0195)];
  const betas = Float32Array.from({ length: 1000 }, (_, index) => (start + ((end - start) * index) / 999) ** 2);
  const buffers = memoryWeights(
    new Map([
      ['betas', float32([1000], betas)],
      ['scale_factor', float32([], [0.25])],
    ]),
  );
  const file = shapedSource(sdV1());
  const source = {
    ...file,
    entries: new Map([...file.entries, ...buffers.entries]),
    read: (name: string) => buffers.read(name),
  };
  const { config } = await openCheckpoint(source);
  assert.deepEqual(
    [config.timesteps, config.linear_start, config.linear_end, config.given_betas, config.scale_factor],
    [1000, 0.0015, 0.0195, null, 0.25],
  );
});

for (const [name, kind, key] of [
  ['tiny', 'txt2img', 'crossattn'],
  ['tiny-inpaint', 'inpaint', 'hybrid'],
] as const) {
  const path = `diffusion/pipelines/${name}.ckpt`;
  test(`${name}.ckpt with its YAML and the text encoder's folder beside it`, { skip: skipUnless(path) }, async () => {
    const opened = await openCheckpointAt(findReference(path) ?? '');
    try {
      assert.deepEqual(
        [opened.kind, opened.config.conditioning_key, opened.config.scale_factor, opened.unused],
        [kind, key, 0.18215, []],
      );
      const text = opened.config.cond_stage_config;
      assert.ok(text !== null && text !== 'first_stage' && text.kind === 'clip_text');
      assert.deepEqual(
        [text.vocab_size, text.hidden_size, text.num_attention_heads, text.eos_token_id],
        [2048, 32, 4, 2047],
      );
      assert.equal(opened.config.cond_stage_version, 'tiny-clip');
      assertStrict(opened);
    } finally {
      await opened.close();
    }
  });
}

test('a diffusers folder: 16 groups, its scheduler, every part under canonical names', {
  skip: skipUnless('files/diffusers/tiny-sd/unet/config.json'),
}, async () => {
  const folder = join(findReference('files/diffusers/tiny-sd/unet/config.json') ?? '', '../..');
  for (const variant of [undefined, 'fp16']) {
    const opened = await openCheckpointAt(folder, variant === undefined ? {} : { variant });
    try {
      const { config } = opened;
      assert.deepEqual(
        [opened.layout, opened.kind, config.linear_start, config.linear_end, config.beta_schedule, config.scale_factor],
        ['diffusers', 'txt2img', 0.00085, 0.012, 'linear', 0.18215],
      );
      const unet = ldmUNet(config.unet_config);
      assert.deepEqual([unet.norm_num_groups, unet.num_heads, unet.channel_mult], [16, 4, [1, 2, 2, 2]]);
      assert.equal(opened.scheduler?.['_class_name'], 'PNDMScheduler');
      assertStrict(opened);
    } finally {
      await opened.close();
    }
  }
});

test('the pocket model with its YAML: text sizes among the params', {
  skip: skipUnless('../pocket/pocket.safetensors'),
}, async () => {
  const path = findReference('../pocket/pocket.safetensors') ?? '';
  const opened = await openCheckpointAt(path);
  try {
    const text = opened.config.cond_stage_config;
    assert.ok(text !== null && text !== 'first_stage' && text.kind === 'clip_text');
    assert.deepEqual([text.vocab_size, text.hidden_size, text.num_attention_heads], [8192, 256, 4]);
    assert.equal(opened.config.scale_factor, 0.5271499961698303);
    assertStrict(opened);
    const located = opened.parts.unet.locate?.('input_blocks.0.0.weight');
    assert.equal(located?.path, path);
  } finally {
    await opened.close();
  }
});

test('both layouts are written: to diffusers and back, each name and shape', async () => {
  const opened = await openCheckpoint(shapedSource(sdV1()));
  const folder = diffusersWeights(opened);
  assert.ok(folder.unet.entries.has('down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight'));
  assert.deepEqual(folder.vae.entries.get('decoder.mid_block.attentions.0.to_out.0.weight')?.shape, [512, 512]);
  assert.ok(folder.text_encoder?.entries.has('text_model.final_layer_norm.bias'));
  const again = diffusersCheckpoint({
    label: 'folder',
    unet: { source: folder.unet },
    vae: { source: folder.vae },
    ...(folder.text_encoder ? { text_encoder: { source: folder.text_encoder } } : {}),
  });
  assertStrict(again);
  assert.equal(again.kind, 'txt2img');
  assert.deepEqual(shapesOf(compVisWeights(again)), shapesOf(shapedSource(sdV1())));
});

test('locations stay where the bytes do', async () => {
  const file = shapedSource(sdV1());
  const located = { ...file, locate: (name: string) => ({ path: '/model', offset: name.length, length: 4 }) };
  const { parts } = await openCheckpoint(located);
  assert.equal(parts.unet.locate?.('out.2.weight')?.offset, 'model.diffusion_model.out.2.weight'.length);
});
