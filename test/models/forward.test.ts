/** `forward` and the table of networks: choice of outputs and taps, refusals, and the embedders built from OpenAI's CLIP. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { canonicalWeights } from '../../src/checkpoints/canonical.ts';
import { huggingFaceNetwork } from '../../src/config/hugging-face-network.ts';
import { parseModelConfig } from '../../src/config/model-config.ts';
import {
  bertEmbedderConfigSchema,
  clipImageEmbedderConfigSchema,
  clipTextEmbedderConfigSchema,
  type NetworkConfig,
  networkConfigSchema,
  openAiClipConfigSchema,
} from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import type { StableDiffusionError } from '../../src/errors.ts';
import { traceBertEmbedder } from '../../src/models/bert-embedder.ts';
import { forwardNetwork, networkParameters } from '../../src/models/index.ts';
import { forward } from '../../src/model/forward.ts';
import { float32, int64, type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { maxDifference } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

function readCase(
  name: string,
  configFile: string,
): { config: NetworkConfig; weights: ReadonlyMap<string, Tensor>; inputs: ReadonlyMap<string, Tensor> } {
  const folder = reference(`networks/${name}`);
  return {
    config: networkConfigSchema.parse(parseModelConfig(readFileSync(join(folder, configFile), 'utf8'), configFile)),
    weights: readTensors(join(folder, 'weights.safetensors')),
    inputs: readTensors(join(folder, 'inputs.safetensors')),
  };
}

test('what only unwanted outputs need is left out of a graph', () => {
  const config = bertEmbedderConfigSchema.parse({ kind: 'bert', n_embed: 16, n_layer: 1 });
  const all = traceBertEmbedder(config);
  const embeddings = traceBertEmbedder(config, { outputs: ['embeddings'] });
  assert.deepEqual(
    embeddings.outputs.map(({ name }) => name),
    ['embeddings'],
  );
  assert.deepEqual(
    all.parameters
      .map(({ name }) => name)
      .filter((name) => !embeddings.parameters.some((parameter) => parameter.name === name)),
    ['transformer.to_logits.weight', 'transformer.to_logits.bias'],
  );
  assert.throws(() => traceBertEmbedder(config, { outputs: ['pooled'] }), { code: 'invalid-argument' });
});

test('a network is given tensors it can use, or says which it takes', () => {
  const { config } = readCase('kl_sd', 'config.yaml');
  assert.throws(
    () => forwardNetwork(config, new Map([['x', zeros('float32', [1])]])),
    (error: StableDiffusionError) => error.code === 'invalid-argument' && /image, noise, z/.test(error.message),
  );
});

test('without noise the mean of the posterior is decoded', async () => {
  const { config, weights, inputs } = readCase('kl_sd', 'config.yaml');
  const image = pick(inputs, 'image');
  const encoded = await forward({
    engine,
    config,
    weights: memoryWeights(weights),
    inputs: new Map([['image', image]]),
  });
  const decoded = await forward({
    engine,
    config,
    weights: memoryWeights(weights),
    inputs: new Map([['z', pick(encoded, 'mean')]]),
  });
  assert.equal(maxDifference(pick(encoded, 'decoded'), pick(decoded, 'decoded.z')), 0);
  assert.ok(!encoded.has('sample'));
});

test("diffusers' LDMBertModel encodes tokens as recorded", async () => {
  const folder = reference('diffusers/ldm-bert');
  const config = huggingFaceNetwork(JSON.parse(readFileSync(join(folder, 'bert/config.json'), 'utf8')), 'bert');
  const recorded = readTensors(join(folder, 'recorded.safetensors'));
  const { source } = canonicalWeights(memoryWeights(readTensors(join(folder, 'bert/model.safetensors'))), config);
  const inputs = new Map([['tokens', pick(recorded, 'input_ids')]]);
  const { embeddings } = Object.fromEntries(await forward({ engine, config, weights: source, inputs }));
  assert.ok(embeddings && maxDifference(embeddings, pick(recorded, 'last_hidden_state')) < 1e-5);
});

test('a tap that no module has is refused', async () => {
  const { config, weights, inputs } = readCase('class_embedder', 'config.yaml');
  await assert.rejects(forward({ engine, config, weights: memoryWeights(weights), inputs, taps: ['middle_block'] }), {
    code: 'invalid-argument',
  });
  const got = await forward({ engine, config, weights: memoryWeights(weights), inputs, taps: 'all' });
  assert.deepEqual([...got.keys()].sort(), ['intermediate.embedding', 'out']);
});

test('embedders of a text and of an image are OpenAI CLIP with the normalisation of LDM', async () => {
  const model = openAiClipConfigSchema.parse({
    kind: 'openai_clip',
    embed_dim: 12,
    image_resolution: 16,
    vision_layers: 1,
    vision_width: 64,
    vision_patch_size: 8,
    context_length: 7,
    vocab_size: 20,
    transformer_width: 16,
    transformer_heads: 2,
    transformer_layers: 1,
  });
  const made = networkParameters(model).map(({ name, shape }, n): [string, Tensor] => {
    const value = zeros('float32', shape);
    return [
      name,
      {
        ...value,
        data: value.data.map(
          (_, i) => (name.endsWith('weight') && shape.length === 1 ? 1 : 0) + 0.2 * Math.sin(1 + i * 1.7 + n),
        ),
      },
    ];
  });
  const weights = memoryWeights(new Map(made));
  const embedderWeights = memoryWeights(
    new Map(made.map(([name, value]) => [`cond_stage_model.model.${name}`, value])),
  );
  const text = int64([2, 7], [18, 3, 4, 19, 0, 0, 0, 18, 5, 6, 7, 8, 9, 19]);
  // An image of the model's size is not resampled: what is left is (x + 1) / 2 and the normalisation.
  const image = float32(
    [1, 3, 16, 16],
    Float32Array.from({ length: 768 }, (_, i) => Math.sin(i)),
  );
  const normalised = float32(
    image.shape,
    image.data.map(
      (x, i) =>
        ((x + 1) / 2 - ([0.48145466, 0.4578275, 0.40821073][i >> 8] ?? 0)) /
        ([0.26862954, 0.26130258, 0.27577711][i >> 8] ?? 1),
    ),
  );
  const clip = await forward({
    engine,
    config: model,
    weights,
    inputs: new Map<string, Tensor>([
      ['text', text],
      ['image', normalised],
    ]),
  });

  const textConfig = clipTextEmbedderConfigSchema.parse({ kind: 'clip_text_embedder', model, n_repeat: 3 });
  const repeated = pick(
    await forward({ engine, config: textConfig, weights: embedderWeights, inputs: new Map([['tokens', text]]) }),
    'embeddings',
  );
  const rows = pick(clip, 'text_embeds');
  const expected = [0, 1].flatMap((row) => {
    const values = Array.from({ length: 12 }, (_, i) => Number(rows.data[12 * row + i]));
    const unit = values.map((x) => x / Math.hypot(...values));
    return [...unit, ...unit, ...unit];
  });
  assert.ok(maxDifference(repeated, float32([2, 3, 12], expected)) < 1e-6);

  const imageConfig = clipImageEmbedderConfigSchema.parse({ kind: 'clip_image_embedder', model });
  const embedded = pick(
    await forward({ engine, config: imageConfig, weights: embedderWeights, inputs: new Map([['image', image]]) }),
    'embeddings',
  );
  assert.ok(maxDifference(embedded, pick(clip, 'image_embeds')) < 1e-5);
});

test('more ids than there are positions are refused', async () => {
  const { config, weights } = readCase('clip_text_gelu', 'config.json');
  const ids = int64([1, 78], new Array(78).fill(1));
  await assert.rejects(
    forward({ engine, config, weights: memoryWeights(weights), inputs: new Map([['input_ids', ids]]) }),
    { code: 'shape-mismatch' },
  );
});
