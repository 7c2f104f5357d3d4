/** `NoisyLatentImageClassifier`: trained through its YAML over a diffusion model's latents, resumed to the same bits, and used as a guide. */

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sd } from '../cli/run-cli.ts';
import { writeTensors } from '../published-folders.ts';
import { classModel, randomTensors } from '../random-models.ts';
import { eventsOf, stoppedAfter, trainingRuns } from './training-runs.ts';

const { folder, pictures, options, file, metrics } = await trainingRuns();

/** The folder of a diffusion model's run, as the original leaves it. */
const diffusion = join(folder, 'diffusion');
mkdirSync(join(diffusion, 'configs'), { recursive: true });
const model = join(diffusion, 'last.ckpt');
const document = classModel.replace('num_heads: 1', 'num_head_channels: 16');
await writeTensors(model, randomTensors(document));
writeFileSync(join(diffusion, 'configs/2021-12-01T10-00-00-project.yaml'), document);
writeFileSync(join(diffusion, 'configs/2021-11-01T10-00-00-project.yaml'), 'model: {}');

const yaml = `
model:
  base_learning_rate: 1.0e-3
  target: ldm.models.diffusion.classifier.NoisyLatentImageClassifier
  params: { diffusion_path: ${diffusion}, diffusion_ckpt_path: ${model}, num_classes: 3, label_key: class_label, log_steps: 10, monitor: val/loss }
data:
  params:
    batch_size: 3
    train: { params: { data_root: ${pictures} } }
    validation: { params: { data_root: ${pictures} } }
lightning:
  modelcheckpoint: { params: { every_n_train_steps: 3 } }
  trainer: { max_steps: 6 }
training: { log_every: 1, scale_lr: false }
`;

test('a classifier of latents is trained, goes on to the same bits, and guides the model', async () => {
  await eventsOf(options(yaml, 'whole'));
  await stoppedAfter(4, options(yaml, 'stopped'));
  await eventsOf(options(yaml, 'stopped'));
  assert.ok(file('whole', 'model.safetensors').equals(file('stopped', 'model.safetensors')));
  const rows = metrics('whole');
  const names = new Set(rows.flatMap((row) => Object.keys(row)));
  for (const name of ['train/loss', 'train/acc@1', 'train/acc@5', 'val/loss', 'val/acc@1'])
    assert.ok(names.has(name), name);
  assert.ok(rows.every((row) => row['train/acc@5'] === undefined || row['train/acc@5'] === 1));
  writeFileSync(join(diffusion, 'last.yaml'), document);
  const made = await sd([
    ...['sample', '--model', model, '--classifier', join(folder, 'whole/model.safetensors'), '--class', '1'],
    ...['--classifier-scale', '5', '--count', '1', '--steps', '2', '--quiet', '--outdir', join(folder, 'guided')],
  ]);
  assert.equal(made.code, 0, made.err);
});

test('what does not fit is refused by its name', async () => {
  const refused = (overrides: readonly string[], expected: RegExp): Promise<void> =>
    assert.rejects(() => eventsOf(options(yaml, 'refused', overrides)), expected);
  await refused(['model.params.diffusion_path=/nowhere'], /neither configs\/\*-project\.yaml nor model\.yaml/);
  await refused(['model.params.num_classes=2'], /needs a class from 0 to 1/);
  await refused(['data.params.train.params.size=32'], /makes pictures of 16 pixels/);
  await refused(['model.params.pools=attention'], /pools/);
});
