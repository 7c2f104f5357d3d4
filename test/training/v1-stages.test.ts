/** The stages of Stable Diffusion v1 as recipes: the model cards' numbers, the published networks, and a chain of them with small networks. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { ldmModel } from '../../src/config/ldm-config.ts';
import { stringifyYaml } from '../../src/config/yaml.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { openFile } from '../../src/files/byte-source-node.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import { BatchGenerator } from '../../src/training/data/batch-generator.ts';
import type { TrainingItem } from '../../src/training/data/sample.ts';
import { conditioningOf } from '../../src/training/latent/conditioning.ts';
import { modelParameters } from '../../src/training/latent/weights.ts';
import { recipes } from '../../src/training/recipes.ts';
import { trainingConfig } from '../../src/training/training-config.ts';
import { v1Stages } from '../../src/training/v1-stages.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import { reference } from '../reference.ts';
import { autoencoderYaml, ddconfig, eventsOf, trainingRuns } from './training-runs.ts';

const runs = await trainingRuns();
before(async () => {
  await eventsOf(
    runs.options(autoencoderYaml(runs.pictures), 'autoencoder', [
      'lightning.trainer.max_steps=1',
      'lightning.callbacks.image_logger.params.batch_frequency=0',
    ]),
  );
});

const documentOf = (name: string) => recipes[name]?.document ?? assert.fail(name);

test('each stage has the numbers of its model card', () => {
  const rows = Object.keys(v1Stages).map((name) => {
    const { loop, train, dropout } = trainingConfig(documentOf(name), name, 256);
    const rate = loop.learningRate * loop.schedule(loop.maxSteps);
    const share = dropout['txt']?.p ?? 0;
    return [name, loop.maxSteps, train.size, loop.batchSize * 256 * loop.accumulate, rate, share, train.filter];
  });
  const aesthetic = { minimum_size: 512, minimum_aesthetics: 5, maximum_watermark: 0.5 };
  assert.deepEqual(rows, [
    ['sd-v1-1-256', 237_000, 256, 2048, 1e-4, 0, undefined],
    ['sd-v1-1', 194_000, 512, 2048, 1e-4, 0, { minimum_size: 1024 }],
    ['sd-v1-2', 515_000, 512, 2048, 1e-4, 0, aesthetic],
    ['sd-v1-3', 195_000, 512, 2048, 1e-4, 0.1, aesthetic],
    ['sd-v1-4', 225_000, 512, 2048, 1e-4, 0.1, aesthetic],
    ['sd-v1-5', 595_000, 512, 2048, 1e-4, 0.1, aesthetic],
    ['sd-v1-5-inpainting', 440_000, 512, 2048, 7.5e-5, 0.1, aesthetic],
  ]);
  const { loop } = trainingConfig(documentOf('sd-v1-1'), 'sd-v1-1');
  assert.ok(Math.abs(loop.schedule(5000) - 0.5) < 1e-3, `${loop.schedule(5000)} half-way through the warm-up`);
});

test('the networks are those of the published checkpoint, by name and shape', () => {
  const { keys }: { readonly keys: Readonly<Record<string, { readonly shape: readonly number[] }>> } = JSON.parse(
    readFileSync(reference('networks/full-sd-v1.keys.json'), 'utf8'),
  );
  const published = Object.entries(keys).filter(
    ([name]) =>
      /^(model\.diffusion_model|first_stage_model|cond_stage_model)\./.test(name) && !/position_ids$/.test(name),
  );
  assert.ok(published.length > 1000);
  for (const name of ['sd-v1-1-256', 'sd-v1-4', 'sd-v1-5-inpainting']) {
    const { model } = trainingConfig(documentOf(name), name);
    const shapes = new Map(modelParameters(ldmModel(model, name)).map((one) => [one.name, one.shape.join()]));
    if (name.endsWith('inpainting')) {
      assert.equal(shapes.get('model.diffusion_model.input_blocks.0.0.weight'), '320,9,3,3');
      shapes.set('model.diffusion_model.input_blocks.0.0.weight', '320,4,3,3');
    }
    assert.deepEqual([...shapes].sort(), published.map(([key, { shape }]) => [key, shape.join()]).sort(), name);
  }
});

test('a tenth of the captions is left out in training, and none in validation', async () => {
  const { model, dropout } = trainingConfig(documentOf('sd-v1-4'), 'sd-v1-4');
  const conditioning = conditioningOf({
    config: ldmModel(model, 'sd-v1-4'),
    tokenize: (text) => [text.length],
    dropout: dropout['txt'],
  });
  const items = Array.from({ length: 10_000 }, (_, i) => ({ caption: 'a', name: `${i}` })) as unknown as TrainingItem[];
  const empty = async (purpose: 'training' | 'validation') => {
    const { input_ids: ids } = await conditioning.prepare(items, new BatchGenerator(5), purpose);
    return Array.from(ids?.data ?? [], Number).filter((length) => length === 0).length;
  };
  const left = await empty('training');
  // Five standard deviations.
  assert.ok(Math.abs(left - 1000) < 150, `${left} of 10,000`);
  assert.equal(await empty('validation'), 0);
});

/** A stage with small networks and pictures, for one step. */
const small = (run: string, name: string, ...more: string[]) =>
  runs.options(stringifyYaml(documentOf(name)), run, [
    `data.params.train.params={ data_root: ${runs.pictures}, size: 16 }`,
    'data.params.batch_size=2',
    'lightning.trainer={ max_steps: 1 }',
    'lightning.callbacks.image_logger.params.batch_frequency=0',
    'model.params.channels=2',
    `model.params.unet_config.params={ image_size: 8, in_channels: ${name.endsWith('inpainting') ? 5 : 2}, out_channels: 2, model_channels: 32, num_res_blocks: 1, attention_resolutions: [2], channel_mult: [1, 1], num_heads: 2, use_spatial_transformer: true, transformer_depth: 1, context_dim: 16, legacy: false }`,
    `model.params.first_stage_config.params={ embed_dim: 2, ddconfig: ${ddconfig}, lossconfig: { target: torch.nn.Identity } }`,
    'model.params.cond_stage_config.params={ hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32, vocab_size: 1024, max_position_embeddings: 77, max_length: 12 }',
    ...more,
  ]);

/** The text encoder of a run as OpenAI's CLIP lies on the hub: under transformers' names, with its other half. */
async function clipFile(run: string): Promise<string> {
  const source = await openSafetensors(await openFile(join(runs.folder, run, 'model.safetensors')));
  const tensors = new Map<string, Tensor>([['vision_model.embeddings.class_embedding', float32([2], [1, 2])]]);
  const prefix = 'cond_stage_model.transformer.';
  for (const name of source.entries.keys())
    if (name.startsWith(prefix)) tensors.set(name.slice(prefix.length), await source.read(name));
  await source.close();
  const path = join(runs.folder, 'clip.safetensors');
  const clip = memoryWeights(tensors);
  await writeFileAtomic(
    path,
    writeSafetensors(clip.entries.values(), ({ name }) => clip.read(name)),
  );
  return path;
}

test('stages follow each other: the first needs autoencoder and text encoder, the next ones the model before', async () => {
  const autoencoder = `model.params.first_stage_config.params.ckpt_path=${join(runs.folder, 'autoencoder', 'model.safetensors')}`;
  await assert.rejects(eventsOf(small('without', 'sd-v1-1-256', autoencoder)), {
    code: 'config-invalid',
    message: /cond_stage_config\.params\.ckpt_path/,
  });
  await eventsOf(small('text', 'sd-v1-1-256', autoencoder, 'model.params.cond_stage_trainable=true'));
  await eventsOf(
    small(
      'sd-v1-1-256',
      'sd-v1-1-256',
      autoencoder,
      `model.params.cond_stage_config.params.ckpt_path=${await clipFile('text')}`,
    ),
  );
  const from = (run: string): string => `model.params.ckpt_path=${join(runs.folder, run, 'model.safetensors')}`;
  await eventsOf(small('sd-v1-1', 'sd-v1-1', from('sd-v1-1-256')));
  await eventsOf(small('sd-v1-5-inpainting', 'sd-v1-5-inpainting', from('sd-v1-1')));
  const read = async (run: string, name: string) => {
    const source = await openSafetensors(await openFile(join(runs.folder, run, 'model.safetensors')));
    const tensor = toFloat32(await source.read(name));
    await source.close();
    return tensor;
  };
  const text = 'cond_stage_model.transformer.text_model.final_layer_norm.weight';
  assert.deepEqual((await read('sd-v1-5-inpainting', text)).data, (await read('text', text)).data);
  const first = 'model.diffusion_model.input_blocks.0.0.weight';
  assert.deepEqual((await read('sd-v1-5-inpainting', first)).shape, [32, 5, 3, 3]);
  // The rate is a millionth of the full one in the first step.
  const [before, after] = [await read('sd-v1-1-256', first), await read('sd-v1-1', first)];
  const change = Math.max(...after.data.map((value, i) => Math.abs(value - (before.data[i] ?? 0))));
  assert.ok(change < 1e-8, `${change}`);
});
