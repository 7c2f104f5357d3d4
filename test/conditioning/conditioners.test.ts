/** Conditioners by kind: what each takes, what it makes of it, and what stands for no condition; through pipelines to a picture. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { tokenizersOf } from '../../src/conditioning/conditioners.ts';
import type { CondStageConfig } from '../../src/config/latent-diffusion-config.ts';
import { classEmbedderConfigSchema, clipTextEmbedderConfigSchema } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { Model } from '../../src/model/model.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { randomCheckpoint } from '../model/random-model.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

async function modelOf(condition: CondStageConfig | null, width: number | null, unet: object = {}): Promise<Model> {
  const checkpoint = randomCheckpoint(condition, width, { unet });
  return new Model({ engine, checkpoint, tokenizers: await tokenizersOf(checkpoint.config, {}) });
}

/** The result's latents. Throws if the pipeline ends without one. */
async function latentsOf(model: Model, options: Parameters<typeof textToImage>[1]): Promise<Float32Array> {
  for await (const event of textToImage(model, { steps: 2, width: 16, height: 16, seed: 3, ...options }))
    if (event.kind === 'result') return event.latents.data;
  throw new Error('The pipeline made no result.');
}

const clipEmbedder = clipTextEmbedderConfigSchema.parse({
  kind: 'clip_text_embedder',
  n_repeat: 2,
  model: {
    kind: 'openai_clip',
    embed_dim: 16,
    image_resolution: 8,
    vision_layers: 1,
    vision_width: 16,
    vision_patch_size: 4,
    context_length: 77,
    vocab_size: 600,
    transformer_width: 16,
    transformer_heads: 2,
    transformer_layers: 1,
  },
});

test("a prompt is encoded by OpenAI's CLIP (FrozenCLIPTextEmbedder) and changes the picture", async () => {
  await using model = await modelOf(clipEmbedder, 16);
  assert.deepEqual((await model.encodePrompts(['a cat', 'a dog'])).shape, [2, 2, 16]);
  const cat = await latentsOf(model, { prompt: 'a cat' });
  assert.ok(cat.every(Number.isFinite));
  assert.notDeepEqual(cat, await latentsOf(model, { prompt: 'a dog' }));
});

test("A1111's syntax needs a vector for each token", async () => {
  await using model = await modelOf(clipEmbedder, 16);
  assert.equal(model.clipTokenizer, undefined);
  await assert.rejects(latentsOf(model, { prompt: '(a cat:1.2)', promptSyntax: 'a1111' }), {
    code: 'invalid-argument',
  });
});

const classesOf = (n_classes: number): CondStageConfig =>
  classEmbedderConfigSchema.parse({ kind: 'class_embedder', embed_dim: 16, n_classes });

test('the last class guides as the empty one (cin256-v2)', async () => {
  await using model = await modelOf(classesOf(11), 16);
  assert.deepEqual(model.conditioner.empty, { classes: [10] });
  const plain = await latentsOf(model, { classLabels: [3], guidanceScale: 1 });
  assert.notDeepEqual(await latentsOf(model, { classLabels: [3], guidanceScale: 5 }), plain);
});

test('1000 classes are those of ImageNet, without an empty one: the model runs without guidance (cin256)', async () => {
  await using model = await modelOf(classesOf(1000), 16);
  assert.equal(model.conditioner.empty, undefined);
  const plain = await latentsOf(model, { classLabels: [3], guidanceScale: 1 });
  assert.deepEqual(await latentsOf(model, { classLabels: [3], guidanceScale: 7.5 }), plain);
});

test('labels that the UNet embeds itself', async () => {
  await using model = await modelOf(null, null, { num_classes: 7 });
  const { y } = await model.encode({ classes: [0, 6] });
  assert.deepEqual([...(y?.data ?? [])], [0n, 6n]);
  for (const classes of [[7], [-1], [0.5], []])
    await assert.rejects(model.encode({ classes }), { code: 'invalid-argument' });
});

test('a model without a condition takes none', async () => {
  await using model = await modelOf(null, null);
  assert.deepEqual(await model.encode({}), {});
  await assert.rejects(model.encodePrompts(['a cat']), { code: 'invalid-argument' });
});

test('a prompt for a model whose tokenizer was not found is refused by name', async () => {
  const checkpoint = randomCheckpoint(clipEmbedder, 16);
  await using model = new Model({ engine, checkpoint });
  await assert.rejects(model.encodePrompts(['a cat']), {
    code: 'invalid-argument',
    message: /has no tokenizer/,
  });
});
