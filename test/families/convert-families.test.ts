/** Layouts of whole models there and back: single files, diffusers folders, split files, one file of diffusers' names. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { compVisWeights, diffusersWeights, splitTexts, textComponents } from '../../src/checkpoints/convert-layout.ts';
import { diffusersCheckpoint } from '../../src/checkpoints/diffusers.ts';
import { putTogether } from '../../src/checkpoints/put-together.ts';
import { openClipNames } from '../../src/checkpoints/text-tower.ts';
import {
  autoencoderDocument,
  clipTextDocument,
  modelIndexDocument,
  schedulerDocument,
  unetDocument,
} from '../../src/config/diffusers-documents.ts';
import { clipTextConfigSchema, ldmUNet } from '../../src/config/network-config.ts';
import { networkParameters } from '../../src/models/index.ts';
import type { Shape } from '../../src/tensor/tensor.ts';
import { joined, withPrefix } from '../../src/weights/view.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { numberedSource, readAll, shapedSource, shapesOf } from '../checkpoints/shaped-source.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';
import { yamlOf } from '../../src/config/ldm-yaml.ts';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import { writeNewFile } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { randomCheckpoint } from '../model/random-model.ts';
import { pocket } from '../cli/cli-files.ts';
import { sd, temporaryFolder } from '../cli/run-cli.ts';
import { canonicalWeights } from '../../src/checkpoints/canonical.ts';
import { keySource } from './key-lists.ts';

/** What a single file may hold and is in no layout: the schedule, position numbers, OpenCLIP's training scale and mask. */
const left =
  /betas|alphas|posterior|log_one|logvar|position_ids|logit_scale|attn_mask|^model_ema|lvlb|num_updates|^scale_factor/;

function v1(): WeightSource {
  const { keys }: { readonly keys: readonly (readonly [string, Shape])[] } = JSON.parse(
    readFileSync(reference('files/full-size/keys.json'), 'utf8'),
  );
  return shapedSource(
    keys.filter(([name]) => !left.test(name)),
    'v1',
  );
}

const models: Readonly<Record<string, () => WeightSource>> = {
  v1,
  v2: () => keySource(reference('families/keys/full-sd21.keys.json'), 0.2),
  'SDXL base': () => keySource(reference('families/keys/full-sdxl-base.keys.json')),
  'SDXL refiner': () => keySource(reference('families/keys/full-sdxl-refiner.keys.json')),
};

const named = (source: WeightSource): string[] => shapesOf(source).filter((line) => !left.test(line));

/** A diffusers folder of the weights, with its documents. */
function folderOf(checkpoint: Checkpoint): Checkpoint {
  const { unet, vae, ...texts } = diffusersWeights(checkpoint);
  const { config } = checkpoint;
  const { first_stage_config: stage } = config;
  assert.ok(stage.kind === 'kl');
  const encoders = textComponents(config).flatMap(({ name, config: text }) => {
    const source = texts[name];
    return source ? [[name, { source, config: clipTextDocument(text) }]] : [];
  });
  const side = typeof config.image_size === 'number' ? config.image_size : 64;
  return diffusersCheckpoint({
    label: 'folder',
    unet: { source: unet, config: unetDocument(ldmUNet(config.unet_config), side) },
    vae: { source: vae, config: autoencoderDocument(stage, 8 * side, config.scale_factor) },
    ...Object.fromEntries(encoders),
    scheduler: schedulerDocument(config),
    model_index: modelIndexDocument(config, false),
  });
}

/** Settings that decide pictures. */
const settings = ({ config }: Checkpoint) => {
  const { parameterization, scale_factor, image_size, linear_start, linear_end, beta_schedule } = config;
  const { first_stage_config: stage, unet_config: unet } = config;
  return {
    parameterization,
    scale_factor,
    image_size,
    linear_start,
    linear_end,
    beta_schedule,
    stage: stage.kind,
    unet: { ...unet, image_size: 0 },
  };
};

for (const [name, source] of Object.entries(models)) {
  test(`${name}: a single file is written with the names and shapes that it was read with`, async () => {
    const checkpoint = await openCheckpoint(source());
    const written = compVisWeights(checkpoint);
    assert.deepEqual(named(written), named(source()));
    const again = await openCheckpoint({ ...written, read: source().read });
    assert.deepEqual(again.config, checkpoint.config);
  });

  test(`${name}: a diffusers folder and back`, async () => {
    const checkpoint = await openCheckpoint(source());
    const folder = folderOf(checkpoint);
    const written = named(compVisWeights({ ...checkpoint, textProjection: undefined }));
    // diffusers has Stable Diffusion 2's tower without the last layer, which is not used.
    const kept = name === 'v2' ? written.filter((line) => !/resblocks\.23\./.test(line)) : written;
    assert.deepEqual(named(compVisWeights(folder)), kept);
    assert.deepEqual(settings(folder), settings(checkpoint));
  });

  test(`${name}: split files and one file of diffusers' names make the same model`, async () => {
    const checkpoint = await openCheckpoint(source());
    const { unet, vae } = diffusersWeights(checkpoint);
    const towers = splitTexts(checkpoint);
    const [first, second] = [false, true].map((of) => towers.find(({ isSecond }) => isSecond === of)?.source);
    const plain = named(compVisWeights(checkpoint));
    const texts = [second, first].flatMap((one) => one ?? []);
    const split = await putTogether(checkpoint.parts.unet, { vae: checkpoint.parts.first_stage, textEncoders: texts });
    assert.deepEqual(named(split), plain);
    const whole = joined(
      [
        withPrefix(unet, 'unet.'),
        withPrefix(vae, 'vae.'),
        ...(first ? [withPrefix(first, 'text_encoder.')] : []),
        ...(second ? [withPrefix(second, 'text_encoder_2.')] : []),
      ],
      'one file',
    );
    assert.deepEqual(named(await putTogether(whole, {})), plain);
  });
}

for (const [name, list, spread] of [
  ['v2 with v-prediction', 'full-sd21', 0.2],
  ['v2 with eps', 'full-sd21', 0.02],
  ['v2 inpainting', 'full-sd2-inpainting', 0],
] as const)
  test(`${name}: the YAML of a single file says what its names and shapes do not`, async () => {
    const weights = keySource(reference(`families/keys/${list}.keys.json`), spread);
    const { config } = await openCheckpoint(weights);
    const yaml = yamlOf(config);
    assert.ok(yaml);
    assert.match(yaml, /FrozenOpenCLIPEmbedder\n +params:\n +arch: ViT-H-14\n +freeze: true\n +layer: penultimate\n/);
    assert.doesNotMatch(yaml, /hidden_size/, "the original's class takes no sizes");
    // The same weights without the spread that tells v from eps.
    const plain = keySource(reference(`families/keys/${list}.keys.json`), 0.02);
    const again = await openCheckpoint(plain, { config: parseYaml(yaml, 'v2.yaml') });
    assert.deepEqual(again.config, { ...config, cond_stage_version: again.config.cond_stage_version });
  });

test('sd convert writes a small v2 model with its YAML, and v-prediction is kept', async (context) => {
  const folder = temporaryFolder(context);
  const text = clipTextConfigSchema.parse({
    kind: 'clip_text',
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 3,
    num_attention_heads: 1,
    hidden_act: 'gelu',
    pad_token_id: 0,
    bos_token_id: 49406,
    eos_token_id: 49407,
    layers_skipped: 1,
  });
  const unet = { use_linear_in_transformer: true, num_head_channels: 16, num_heads: -1, legacy: false };
  const checkpoint = randomCheckpoint(text, 64, { unet, config: { parameterization: 'v' } });
  const source = compVisWeights(checkpoint);
  const chunks = writeSafetensors(source.entries.values(), ({ name }) => source.read(name));
  await writeNewFile(join(folder, 'v2.safetensors'), chunks);
  await writeNewFile(join(folder, 'v2.yaml'), [new TextEncoder().encode(yamlOf(checkpoint.config))]);
  for (const [from, to] of [
    ['v2.safetensors', 'folder'],
    ['folder', 'again.safetensors'],
  ] as const) {
    const made = await sd(['convert', join(folder, from), join(folder, to)]);
    assert.equal(made.code, 0, made.err);
  }
  const yaml = readFileSync(join(folder, 'again.yaml'), 'utf8');
  assert.match(yaml, /parameterization: v\n/);
  assert.match(yaml, /FrozenOpenCLIPEmbedder/);
  const again = await openCheckpointAt(join(folder, 'again.safetensors'));
  assert.equal(again.config.parameterization, 'v');
  await again.close();
});

test("OpenCLIP's names hold the same numbers: read back, every tensor is equal", async () => {
  const config = clipTextConfigSchema.parse({
    kind: 'clip_text',
    vocab_size: 10,
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 2,
    num_attention_heads: 1,
    max_position_embeddings: 7,
    projection_dim: 48,
    hidden_act: 'gelu',
    with_projection: true,
  });
  const tower = numberedSource(networkParameters(config).map(({ name, shape }) => [name, shape] as const));
  const written = openClipNames(tower, config);
  assert.deepEqual(written.entries.get('model.transformer.resblocks.1.attn.in_proj_weight')?.shape, [192, 64]);
  assert.deepEqual(await readAll(canonicalWeights(written, config).source), await readAll(tower));
});

test('text encoders of another width are refused by what the model needs', async () => {
  const unet = (width: number) =>
    shapedSource(
      [['model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight', [1280, width]]],
      'unet',
    );
  const text = (width: number, label: string): WeightSource =>
    shapedSource(
      networkParameters(
        clipTextConfigSchema.parse({
          kind: 'clip_text',
          hidden_size: width,
          num_attention_heads: width / 64,
          num_hidden_layers: 1,
        }),
      ).map(({ name, shape }) => [name, shape] as const),
      label,
    );
  await assert.rejects(putTogether(unet(768), { textEncoders: [text(1024, 'clip_h')] }), {
    code: 'weights-mismatch',
    message:
      /unet is a Stable Diffusion 1 model and takes text encoders whose widths add up to 768, but clip_h has width 1024\./,
  });
  await assert.rejects(putTogether(unet(2048), { textEncoders: [text(768, 'clip_l')] }), {
    message:
      /unet is an SDXL model and takes two, of widths 768 and 1280: give --text-encoder twice, but clip_l has width 768\./,
  });
});

test('sd convert writes split files, inspects them, and makes one file of them again', async (context) => {
  const folder = temporaryFolder(context);
  const [split, back] = [join(folder, 'split'), join(folder, 'back.safetensors')];
  assert.equal((await sd(['convert', pocket, split, '--layout', 'split'])).code, 0);
  const inspected = JSON.parse((await sd(['inspect', split, '--json'])).out);
  assert.deepEqual([inspected.format, inspected.kind, inspected.loads], ['split files', 'checkpoint', true]);
  // As loaders pass what was not given.
  await (await openCheckpointAt(split, { vae: undefined, textEncoder: [] })).close();
  assert.equal((await sd(['convert', split, back])).code, 0);
  const [original, copy] = [readTensors(pocket), readTensors(back)];
  assert.deepEqual([...copy.keys()].sort(), [...original.keys()].sort());
  for (const [name, { dtype, shape, data }] of copy)
    assert.deepEqual({ dtype, shape, data }, { ...pick(original, name) }, name);
  const files = [
    'diffusion_models/split.safetensors',
    '--vae',
    'vae/split.safetensors',
    '--text-encoder',
    'text_encoders/clip_l.safetensors',
  ];
  const named = files.map((file) => (file.startsWith('--') ? file : join(split, file)));
  const other = join(folder, 'other.safetensors');
  const made = await sd(['convert', named[0] ?? '', other, ...named.slice(1)]);
  assert.equal(made.code, 0, made.err);
  assert.deepEqual([...readTensors(other).keys()].sort(), [...original.keys()].sort());
});
