/** LoRA, DreamBooth and textual inversion by configuration, on the tiny checkpoint of the reference set: files that load, exact resumes, pictures of the class. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadModel } from '../../src/model/load-model-node.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { stringifyYaml } from '../../src/config/yaml.ts';
import { recipes } from '../../src/training/recipes.ts';
import { resultOf } from '../pipelines/result.ts';
import { reference, skipUnless } from '../reference.ts';
import { eventsOf, stoppedAfter, trainingRuns } from './training-runs.ts';

const runs = await trainingRuns();
const skip = skipUnless('diffusion/pipelines/tiny.ckpt');

/** A recipe for four steps on the small pictures. */
const optionsOf = (recipe: string, run: string, overrides: readonly string[] = []) =>
  runs.options(stringifyYaml(recipes[recipe]?.document), run, [
    `model.params.ckpt_path=${reference('diffusion/pipelines/tiny.ckpt')}`,
    `data.params.train.params={data_root: ${runs.pictures}, size: 32}`,
    'model.base_learning_rate=1e-3',
    'lightning.trainer.max_steps=3',
    'lightning.modelcheckpoint.params.every_n_train_steps=2',
    'lightning.callbacks.image_logger.params.batch_frequency=3',
    'training.log_every=1',
    ...overrides,
  ]);

const pixels = async (
  options: Parameters<typeof loadModel>[1],
  prompt: string,
  path = reference('diffusion/pipelines/tiny.ckpt'),
): Promise<Uint8Array> => {
  await using model = await loadModel(path, { engine: runs.engine, ...options });
  const { images } = await resultOf(textToImage(model, { prompt, steps: 2, width: 32, height: 32, safety: false }));
  return images[0]?.image.data as Uint8Array;
};

async function sameAfterResume(recipe: string, name: string, overrides: readonly string[]): Promise<void> {
  await eventsOf(optionsOf(recipe, `${recipe}-whole`, overrides));
  await stoppedAfter(1, optionsOf(recipe, `${recipe}-parts`, overrides));
  await eventsOf(optionsOf(recipe, `${recipe}-parts`, overrides));
  for (const file of [name, 'checkpoints/last.safetensors'])
    assert.ok(runs.file(`${recipe}-parts`, file).equals(runs.file(`${recipe}-whole`, file)), file);
}

test('LoRA: resumed to the same bits, with dropout; the file changes pictures, as kohya and as diffusers alike', {
  skip,
}, async () => {
  const overrides = [
    'model.params.dropout=0.2',
    'model.params.text={rank: 2}',
    'training.sample_prompts=[a red square]',
    'training.sample_steps=2',
  ];
  await sameAfterResume('lora', 'lora.safetensors', overrides);
  assert.deepEqual(readdirSync(join(runs.folder, 'lora-whole', 'samples')), ['step-00000003.png']);
  await eventsOf(optionsOf('lora', 'lora-diffusers', [...overrides, 'model.params.layout=diffusers']));
  const plain = await pixels({}, 'a red square');
  const kohya = await pixels({ loras: [join(runs.folder, 'lora-whole', 'lora.safetensors')] }, 'a red square');
  assert.notDeepEqual(kohya, plain);
  const diffusers = await pixels({ loras: [join(runs.folder, 'lora-diffusers', 'lora.safetensors')] }, 'a red square');
  assert.ok(kohya.every((value, i) => Math.abs(value - (diffusers[i] as number)) <= 1));
});

test('DreamBooth: pictures of the class are made, both losses are there, resumed to the same bits, and the checkpoint makes pictures', {
  skip,
}, async () => {
  const overrides = [
    'model.params.instance_prompt=a photo of sks square',
    `model.params.prior={data_root: ${join(runs.folder, 'class')}, prompt: a square, count: 3, steps: 2}`,
  ];
  await sameAfterResume('dreambooth', 'model.safetensors', overrides);
  assert.equal(readdirSync(join(runs.folder, 'class')).filter((name) => name.endsWith('.png')).length, 3);
  const [row] = runs.metrics('dreambooth-whole');
  assert.ok((row?.['train/prior_loss'] ?? 0) > 0 && (row?.['train/instance_loss'] ?? 0) > 0);
  assert.equal(
    (await pixels({}, 'a square', join(runs.folder, 'dreambooth-whole', 'model.safetensors'))).length,
    32 * 32 * 3,
  );
});

test('textual inversion: resumed to the same bits; its token is a word of prompts', { skip }, async () => {
  await sameAfterResume('textual-inversion', 'embedding.safetensors', [
    'model.params.token=<thing>',
    'model.params.initializer=cat',
    'model.params.vectors=2',
  ]);
  const embeddings = [join(runs.folder, 'textual-inversion-whole', 'embedding.safetensors')];
  assert.notDeepEqual(await pixels({ embeddings }, 'a <thing>'), await pixels({ embeddings }, 'a cat'));
});

test('what is wrong in a configuration is named', { skip }, async () => {
  await assert.rejects(eventsOf(optionsOf('lora', 'wrong', ['model.params.rnk=4'])), {
    code: 'config-invalid',
    message: /rnk/,
  });
  await assert.rejects(eventsOf(optionsOf('textual-inversion', 'wrong')), { code: 'config-invalid', message: /token/ });
  await assert.rejects(eventsOf(optionsOf('lora', 'wrong', ['model.params.ckpt_path=/nowhere.ckpt'])), {
    code: 'file-not-found',
  });
});
