/** Layout maps of Stable Diffusion v1 and of further networks against the names and weights that diffusers and transformers themselves write. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  type AutoencoderConfig,
  openAiClipConfigSchema,
  taesdConfigSchema,
  type UNetConfig,
} from '../../src/config/network-config.ts';
import { parseModelConfig } from '../../src/config/model-config.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { canonicalWeights } from '../../src/checkpoints/canonical.ts';
import { inferCompVisAutoencoder, inferDiffusersAutoencoder } from '../../src/checkpoints/infer/autoencoder.ts';
import { inferCompVisUNet, inferDiffusersUNet } from '../../src/checkpoints/infer/unet.ts';
import { autoencoderMap } from '../../src/checkpoints/layouts/autoencoder.ts';
import { clipTextMap } from '../../src/checkpoints/layouts/clip-text.ts';
import { openAiClipMap } from '../../src/checkpoints/layouts/openai-clip.ts';
import { taesdDecoderMap, taesdEncoderMap } from '../../src/checkpoints/layouts/taesd.ts';
import { unetMap } from '../../src/checkpoints/layouts/unet.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { type NameMap, renamed } from '../../src/checkpoints/rename.ts';
import { joined, withoutPrefix } from '../../src/weights/view.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { maxDifference, assertWithin } from '../parity.ts';
import { findReference, reference, skipUnless } from '../reference.ts';
import { readTensors } from '../tensors.ts';
import { readAll, shapedSource, shapesOf } from './shaped-source.ts';

interface FullKey {
  readonly shape: number[];
  readonly part: string;
  readonly diffusers?: string;
  readonly diffusers_shape?: number[];
}

const full: Readonly<Record<string, FullKey>> = JSON.parse(
  readFileSync(reference('networks/full-sd-v1.keys.json'), 'utf8'),
).keys;

/** SD v1's part with `prefix`: what it is called in a CompVis file and in a diffusers folder. */
function fullPart(part: string, prefix: string): { compvis: WeightSource; diffusers: WeightSource } {
  const keys = Object.entries(full).filter(([, key]) => key.part === part);
  return {
    compvis: shapedSource(keys.map(([name, key]) => [name.slice(prefix.length), key.shape] as const)),
    diffusers: shapedSource(
      keys.map(([name, key]) => [key.diffusers ?? name, key.diffusers_shape ?? key.shape] as const),
    ),
  };
}

/** The map applied both ways gives exactly the other side's names and shapes. */
function assertBijective(map: NameMap, a: WeightSource, b: WeightSource, name: string): void {
  const differing = (got: string[], want: string[]) => [
    ...got.filter((key) => !want.includes(key)),
    ...want.filter((key) => !got.includes(key)),
  ];
  const forward = differing(shapesOf(renamed(a, map, 'a-to-b')), shapesOf(b));
  const backward = differing(shapesOf(renamed(b, map, 'b-to-a')), shapesOf(a));
  assertWithin({
    part: 'networks',
    case: name,
    output: `${a.entries.size} names, to ${map.b} and back`,
    error: forward.length + backward.length,
    tolerance: 0,
  });
  assert.equal(new Set(map.rows.map((row) => row.a)).size, map.rows.length, 'each name of a occurs once');
  assert.equal(
    new Set(map.rows.flatMap((row) => row.b)).size,
    map.rows.flatMap((row) => row.b).length,
    'each name of b occurs once',
  );
}

test('SD v1 UNet: each of 686 names and shapes, both ways', () => {
  const { compvis, diffusers } = fullPart('unet', 'model.diffusion_model.');
  assert.equal(compvis.entries.size, 686);
  const { config } = inferCompVisUNet(compvis.entries);
  assertBijective(unetMap(config), compvis, diffusers, 'full-sd-v1.keys unet');
  assert.deepEqual(inferDiffusersUNet(diffusers.entries).config, config);
});

test('SD v1 autoencoder: each of 248 names and shapes, both ways; also under the older attention names', () => {
  const { compvis, diffusers } = fullPart('vae', 'first_stage_model.');
  assert.equal(compvis.entries.size, 248);
  const { config } = inferCompVisAutoencoder(compvis.entries);
  assertBijective(autoencoderMap(config), compvis, diffusers, 'full-sd-v1.keys vae');
  assert.deepEqual(inferDiffusersAutoencoder(diffusers.entries).config, config);
  const older = renamed(compvis, autoencoderMap(config, { olderNames: true }), 'a-to-b');
  assert.deepEqual(older.entries.get('decoder.mid_block.attentions.0.proj_attn.weight')?.shape, [512, 512]);
  assert.ok(older.entries.has('encoder.mid_block.attentions.0.query.bias'));
  assert.deepEqual(shapesOf(canonicalWeights(older, config).source), shapesOf(compvis));
});

test('SD v1 text encoder: each of 197 names and shapes, both ways; also without any prefix', () => {
  const { compvis, diffusers } = fullPart('text_encoder', 'cond_stage_model.');
  assert.equal(compvis.entries.size, 197);
  assertBijective(clipTextMap({ num_hidden_layers: 12 }), compvis, diffusers, 'full-sd-v1.keys text_encoder');
  const bare = withoutPrefix(diffusers, 'text_model.');
  assert.deepEqual(shapesOf(renamed(bare, clipTextMap({ num_hidden_layers: 12 }, ''), 'b-to-a')), shapesOf(compvis));
});

for (const [name, other, prefix] of [
  ['unet_sd_diffusers', 'unet_sd', 'model.diffusion_model.'],
  ['kl_sd_diffusers', 'kl_sd', 'first_stage_model.'],
  ['clip_text_quick_gelu_hf', 'clip_text_quick_gelu', 'cond_stage_model.'],
] as const) {
  const recorded = `networks/${other}/weights.safetensors`;
  test(`${name}: the recorded name of every key, and the bytes of the CompVis file`, {
    skip: skipUnless(recorded),
  }, async () => {
    const folder = reference(`networks/${name}/weights.safetensors`).replace(/weights\.safetensors$/, '');
    const config = parseModelConfig(readFileSync(`${folder}config.json`, 'utf8'), name);
    assert.notEqual(config.kind, 'latent_diffusion');
    if (config.kind === 'latent_diffusion') return;
    const keymap: Record<string, string | { diffusers: string }> = JSON.parse(
      readFileSync(`${folder}keymap.json`, 'utf8'),
    );
    const file = memoryWeights(readTensors(`${folder}weights.safetensors`));
    const got = await readAll(canonicalWeights(file, config).source);
    const want = await readAll(withoutPrefix(memoryWeights(readTensors(reference(recorded))), prefix));
    // Buffers of transformers are in one of the two files only.
    for (const tensors of [got, want])
      for (const key of tensors.keys()) if (key.endsWith('position_ids')) tensors.delete(key);
    assert.deepEqual([...got.keys()], [...want.keys()]);
    const largest = Math.max(...Array.from(want, ([key, tensor]) => maxDifference(got.get(key) as Tensor, tensor)));
    assertWithin({
      part: 'networks',
      case: name,
      output: 'weights under canonical names',
      error: largest,
      tolerance: 0,
    });
    const map = mapOf(config);
    let wrong = 0;
    for (const [compvis, value] of Object.entries(keymap)) {
      const row = map.rows.find(({ a }) => prefix + a === compvis);
      if (row?.b !== (typeof value === 'string' ? value : value.diffusers)) wrong++;
    }
    assertWithin({ part: 'networks', case: name, output: 'keymap.json', error: wrong, tolerance: 0 });
  });
}

function mapOf(config: { readonly kind: string }): NameMap {
  if (config.kind === 'unet') return unetMap(config as UNetConfig);
  if (config.kind === 'kl') return autoencoderMap(config as AutoencoderConfig);
  return clipTextMap(config as unknown as { num_hidden_layers: number });
}

test('TAESD: the original files and the one of diffusers hold the same, both ways', async () => {
  const folder = reference('networks/taesd/weights.safetensors').replace(/weights\.safetensors$/, '');
  const config = taesdConfigSchema.parse({ kind: 'taesd' });
  const encoder = memoryWeights(readTensors(`${folder}taesd_encoder.safetensors`));
  const decoder = memoryWeights(readTensors(`${folder}taesd_decoder.safetensors`));
  const whole = memoryWeights(readTensors(`${folder}weights.safetensors`));
  const merged = joined([
    renamed(encoder, taesdEncoderMap(config), 'a-to-b'),
    renamed(decoder, taesdDecoderMap(config), 'a-to-b'),
  ]);
  assert.deepEqual(await readAll(merged), await readAll(whole));
  for (const [half, map] of [
    [encoder, taesdEncoderMap(config)],
    [decoder, taesdDecoderMap(config)],
  ] as const) {
    assert.deepEqual(await readAll(renamed(renamed(half, map, 'a-to-b'), map, 'b-to-a')), await readAll(half));
    assert.deepEqual(
      [...map.rows.map((row) => row.a)].sort(),
      [...half.entries.keys()].sort(),
      'the map has exactly the names of the file',
    );
  }
});

test('OpenAI CLIP to transformers and back: q, k, v are thirds of in_proj, projections are transposed', {
  skip: skipUnless('networks/openai_clip/weights.safetensors'),
}, async () => {
  const file = memoryWeights(readTensors(findReference('networks/openai_clip/weights.safetensors') ?? ''));
  const map = openAiClipMap({ transformer_layers: 1, vision_layers: 1 });
  const there = renamed(file, map, 'a-to-b');
  assert.deepEqual(await readAll(renamed(there, map, 'b-to-a')), await readAll(file));
  const whole = await file.read('visual.transformer.resblocks.0.attn.in_proj_weight');
  const key = await there.read('vision_model.encoder.layers.0.self_attn.k_proj.weight');
  assert.deepEqual(key.shape, [64, 64]);
  assert.deepEqual(key.data, whole.data.slice(64 * 64, 2 * 64 * 64));
  const [projection, linear] = [await file.read('text_projection'), await there.read('text_projection.weight')];
  assert.deepEqual(linear.shape, [24, 128]);
  assert.equal(linear.data[3 * 128 + 5], projection.data[5 * 24 + 3]);
  const expected = openAiClipConfigSchema.parse(
    parseModelConfig(readFileSync(findReference('networks/openai_clip/config.yaml') ?? '', 'utf8'), 'openai_clip'),
  );
  assert.deepEqual(await readAll(canonicalWeights(there, expected).source), await readAll(file));
});
