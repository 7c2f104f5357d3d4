/** A run from a YAML and a folder of pictures: the files of its folder, an interruption, and a resume that ends with the same weights. */

import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { reference, skipUnless } from '../reference.ts';
import { autoencoderYaml, eventsOf, stoppedAfter, trainingRuns } from './training-runs.ts';

const runs = await trainingRuns();
const yaml = autoencoderYaml(runs.pictures);

test("an autoencoder: the run's folder, and a resume after an interruption with the same weights", async () => {
  const whole = await eventsOf({ ...runs.options(yaml, 'whole'), resume: false });
  assert.deepEqual(whole.at(-1), { kind: 'end', step: 8, status: 'finished' });
  assert.deepEqual(
    whole.flatMap((event) => (event.kind === 'checkpoint' ? [event.step] : [])),
    [3, 6, 8],
  );
  const folder = join(runs.folder, 'whole');
  assert.deepEqual(
    readdirSync(folder)
      .filter((name) => !name.startsWith('events'))
      .sort(),
    ['checkpoints', 'config.yaml', 'metrics.jsonl', 'model.safetensors', 'model.yaml', 'report.html', 'samples'],
  );
  assert.equal(readdirSync(join(folder, 'checkpoints')).length, 3);
  assert.deepEqual(readdirSync(join(folder, 'samples')), ['step-00000004.png', 'step-00000008.png']);
  const rows = runs.metrics('whole');
  assert.deepEqual(
    rows.filter((row) => 'train/loss' in row).map(({ step }) => step),
    [2, 4, 6, 8],
  );
  assert.ok(rows.some((row) => (row['val/rec_loss'] ?? 0) > 0));
  await assert.rejects(eventsOf({ ...runs.options(yaml, 'whole'), resume: false }), { code: 'invalid-argument' });

  const stopped = await stoppedAfter(5, runs.options(yaml, 'parts'));
  assert.deepEqual(stopped.at(-1), { kind: 'end', step: 5, status: 'stopped' });
  const resumed = await eventsOf(runs.options(yaml, 'parts'));
  assert.equal(resumed.find((event) => event.kind === 'step')?.step, 6);
  for (const name of ['checkpoints/last.safetensors', 'model.safetensors', 'samples/step-00000008.png'])
    assert.ok(runs.file('parts', name).equals(runs.file('whole', name)), name);
});

test('a checkpoint of another seed or network is not gone on from', async () => {
  await assert.rejects(eventsOf(runs.options(yaml, 'whole', ['training.seed=99', 'lightning.trainer.max_steps=9'])), {
    code: 'config-invalid',
  });
  await assert.rejects(
    eventsOf(runs.options(yaml, 'whole', ['model.params.embed_dim=3', 'lightning.trainer.max_steps=9'])),
    (error: Error & { code: string }) => error.code === 'weights-mismatch' || error.code === 'shape-mismatch',
  );
});

test('what a configuration lacks is named', async () => {
  await assert.rejects(eventsOf(runs.options(yaml, 'wrong', ['data.params.train.params={}'])), {
    code: 'config-invalid',
    message: /data_root/,
  });
  await assert.rejects(eventsOf(runs.options(yaml, 'wrong', ['training.sead=1'])), {
    code: 'config-invalid',
    message: /sead/,
  });
  await assert.rejects(eventsOf(runs.options(yaml, 'wrong', ['model.target=ldm.models.Elephant'])), {
    code: 'config-invalid',
    message: /Elephant/,
  });
  await assert.rejects(eventsOf(runs.options(yaml, 'wrong', ['data.params.train.params.data_root=/nowhere'])), {
    code: 'file-not-found',
  });
});

const lpips = 'networks/lpips_narrow/weights.safetensors';

test("LDM's own loss: LPIPS from its file, a discriminator that comes in late, a resume before it does", {
  skip: skipUnless(lpips),
}, async () => {
  const overrides = [
    'model.params.lossconfig={target: ldm.modules.losses.LPIPSWithDiscriminator, params: {disc_start: 2, kl_weight: 1.0e-6, disc_weight: 0.5, disc_num_layers: 1}}',
    'data.params.train.params.size=32',
    'data.params.validation.params.size=32',
    `training.lpips=${reference(lpips)}`,
    'training.early_discriminator=skip',
    'lightning.trainer.max_steps=4',
    'lightning.trainer.accumulate_grad_batches=1',
    'training.log_every=1',
  ];
  await assert.rejects(
    eventsOf(
      runs.options(
        yaml,
        'wrong',
        overrides.filter((word) => !word.startsWith('training.lpips')),
      ),
    ),
    { code: 'invalid-argument', message: /LPIPS/ },
  );
  await eventsOf(runs.options(yaml, 'judged', overrides));
  const rows = runs.metrics('judged').filter((row) => 'train/loss' in row);
  assert.deepEqual(
    rows.map((row) => 'train/disc_loss' in row),
    [false, false, true, true],
  );
  assert.ok(rows.every((row) => (row['train/p_loss'] ?? 0) > 0));
  await stoppedAfter(1, runs.options(yaml, 'judged-parts', overrides));
  await eventsOf(runs.options(yaml, 'judged-parts', overrides));
  assert.ok(
    runs
      .file('judged-parts', 'checkpoints/last.safetensors')
      .equals(runs.file('judged', 'checkpoints/last.safetensors')),
  );
});

test('a run that ended between its last checkpoint and its model has the model when it is resumed', async () => {
  const overrides = ['lightning.trainer.max_steps=2', 'lightning.callbacks.image_logger.params.batch_frequency=0'];
  await eventsOf(runs.options(yaml, 'cut-off', overrides));
  const whole = runs.file('cut-off', 'model.safetensors');
  const path = join(runs.folder, 'cut-off', 'model.safetensors');
  writeFileSync(path, 'the model of an earlier checkpoint');
  await eventsOf(runs.options(yaml, 'cut-off', overrides));
  assert.ok(runs.file('cut-off', 'model.safetensors').equals(whole));
});
