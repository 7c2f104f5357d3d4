/** Two text encoders and the sizes of the picture, as in SDXL, with random weights: what each adds, and a picture. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { composedConfigSchema } from '../../src/config/composed-conditioner.ts';
import { tokenizersOf } from '../../src/conditioning/conditioners.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { Model } from '../../src/model/model.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { expectDType, type Tensor } from '../../src/tensor/tensor.ts';
import { randomCheckpoint } from '../model/random-model.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const tower = (width: number, more: object): object => ({
  kind: 'clip_text',
  vocab_size: 600,
  hidden_size: width,
  intermediate_size: 2 * width,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  projection_dim: width,
  eos_token_id: 599,
  layers_skipped: 1,
  output_norm: false,
  ...more,
});
const condition = composedConfigSchema.parse({
  kind: 'composed',
  embedders: [
    tower(16, {}),
    tower(24, { hidden_act: 'gelu', pad_token_id: 0, with_projection: true, pooled_output: true }),
    { kind: 'sizes', fields: ['original', 'crop', 'target'], width: 8 },
  ],
});
const unet = { adm_in_channels: 24 + 6 * 8, use_linear_in_transformer: true };
const checkpoint = randomCheckpoint(condition, 40, { unet });
const open = async (): Promise<Model> =>
  new Model({ engine, checkpoint, tokenizers: await tokenizersOf(checkpoint.config, {}) });
const sizes = { original: [64, 48], crop: [0, 8], target: [16, 16] } as const;

test('contexts are joined along their width, the pooled text and the sizes behind one another', async () => {
  await using model = await open();
  const { context, y } = await model.encode({ texts: ['a cat', ''], sizes: [sizes, sizes] });
  assert.deepEqual(
    [context?.shape, y?.shape],
    [
      [2, 77, 40],
      [2, 72],
    ],
  );
  const vector = expectDType(y as Tensor, 'float32').data;
  // Cosines first: that of 64 times the first frequency, 1.
  assert.ok(Math.abs((vector[24] as number) - Math.cos(64)) < 1e-5);
  assert.deepEqual([...vector.slice(24, 72)], [...vector.slice(72 + 24)]);
});

test('each encoder has its own padding', async () => {
  const tokenizers = [...(await tokenizersOf(checkpoint.config, {})).values()];
  assert.deepEqual(
    tokenizers.map((tokenizer) => tokenizer.tokenize('a', { length: 5 }).ids.at(-1)),
    [599, 0],
  );
});

test('an empty negative prompt is zeros, and the sizes stay', async () => {
  await using model = await open();
  const encoded = await model.encode({ texts: ['', 'a'], sizes: [sizes, sizes] });
  const { context, y } = model.conditioner.zeroEmpty?.(encoded, [true, false]) ?? {};
  const [tokens, vector] = [context, y].map((value) => expectDType(value as Tensor, 'float32').data);
  assert.ok(tokens?.slice(0, 77 * 40).every((value) => value === 0));
  assert.ok(vector?.slice(0, 24).every((value) => value === 0));
  assert.deepEqual(
    [...(vector?.slice(24, 72) ?? [])],
    [...expectDType(encoded['y'] as Tensor, 'float32').data.slice(24, 72)],
  );
  assert.deepEqual(tokens?.slice(77 * 40), expectDType(encoded['context'] as Tensor, 'float32').data.slice(77 * 40));
});

test('a picture, in the plain syntax and in A1111’s, whose weights act on both encoders', async () => {
  await using model = await open();
  const latents = async (options: object): Promise<Float32Array> => {
    for await (const event of textToImage(model, { steps: 2, width: 16, height: 16, seed: 3, ...options }))
      if (event.kind === 'result') return event.latents.data;
    throw new Error('The pipeline made no result.');
  };
  const plain = await latents({ prompt: 'a cat' });
  assert.ok(plain.every(Number.isFinite));
  const syntax = await latents({ prompt: 'a cat', promptSyntax: 'a1111' });
  assert.ok(plain.every((value, i) => Math.abs(value - (syntax[i] as number)) < 1e-4));
  assert.notDeepEqual(await latents({ prompt: 'a (cat:1.5)', promptSyntax: 'a1111' }), syntax);
  assert.notDeepEqual(await latents({ prompt: 'a cat', width: 32 }), plain);
});
