/** The backward pass in parts, on the networks of trainers: the losses of the whole. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ranksOfConfig } from '../../src/training/ranks-of-config.ts';
import { trainingConfig } from '../../src/training/training-config.ts';
import { autoencoderYaml, diffusionYaml, eventsOf, trainingRuns } from '../training/training-runs.ts';
import { localRanks } from './local-ranks.ts';

const runs = await trainingRuns();
const quiet = ['lightning.callbacks.image_logger.params.batch_frequency=0', 'training.log_every=1'];

async function losses(yaml: string, run: string, words: readonly string[]): Promise<number[]> {
  await eventsOf({ ...runs.options(yaml, run, [...quiet, 'lightning.trainer.max_steps=3', ...words]), report: false });
  return runs.metrics(run).flatMap((row) => row['train/loss'] ?? row['train/aeloss'] ?? []);
}

function near(got: readonly number[], want: readonly number[]): void {
  assert.equal(got.length, 3);
  for (const [i, value] of got.entries())
    assert.ok(Math.abs(value / (want[i] as number) - 1) < 1e-5, `step ${i + 1}: ${value}, not ${want[i]}`);
}

test('an autoencoder in 4 parts, then a latent diffusion model with checkpointing in 5', async () => {
  const autoencoder = autoencoderYaml(runs.pictures);
  const want = await losses(autoencoder, 'autoencoder', []);
  near(await losses(autoencoder, 'autoencoder in parts', ['training.backward_parts=4']), want);
  const diffusion = diffusionYaml(runs.pictures, join(runs.folder, 'autoencoder', 'model.safetensors')).replace(
    'sample_prompts: [a red square, a blue square], ',
    '',
  );
  const whole = await losses(diffusion, 'whole', ['training.checkpointing=true']);
  near(await losses(diffusion, 'in parts', ['training.checkpointing=true', 'training.backward_parts=5']), whole);
});

test('settings of divided gradients are checked, and have defaults', () => {
  const path = join(runs.folder, 'checked.yaml');
  writeFileSync(path, autoencoderYaml(runs.pictures));
  const ranks = (words: readonly string[]) => {
    const { document } = runs.options(readFileSync(path, 'utf8'), 'checked', words);
    return ranksOfConfig(trainingConfig(document, path, 2), localRanks(2)[0] as never, path);
  };
  assert.equal(ranks([]).parts, 1);
  const divided = ['training.shard_states=true', 'training.shard_gradients=true'];
  assert.equal(ranks(divided).parts, 8);
  assert.equal(ranks([...divided, 'training.backward_parts=3']).parts, 3);
  assert.throws(() => ranks(['training.shard_gradients=true']), /shard_gradients needs training\.shard_states/);
  assert.throws(
    () => ranks(['training.diloco={every: 3}', 'training.backward_parts=2']),
    /diloco does not go with backward_parts/,
  );
});
