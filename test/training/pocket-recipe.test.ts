/** The configurations of examples/train-pocket: they can be read, belong together, and make a model of the size that ships. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { autoencoderTraining } from '../../src/config/autoencoder-training.ts';
import { ldmModel } from '../../src/config/ldm-config.ts';
import type { LatentDiffusionConfig } from '../../src/config/latent-diffusion-config.ts';
import type { NetworkConfig } from '../../src/config/network-config.ts';
import { isMapping, type Mapping } from '../../src/config/validate.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import { networkParameters } from '../../src/models/index.ts';
import { trainingConfig } from '../../src/training/training-config.ts';

const folder = join(import.meta.dirname, '../../examples/train-pocket');
const read = (name: string): Mapping => parseYaml(readFileSync(join(folder, `${name}.yaml`), 'utf8'), name) as Mapping;

/** The whole model, without the path of its autoencoder's weights, which is the training's business. */
function pocket(): LatentDiffusionConfig {
  const document = structuredClone(read('pocket')) as {
    model: { params: { first_stage_config: { params: Record<string, unknown> } } };
  };
  delete document.model.params.first_stage_config.params['ckpt_path'];
  return ldmModel(document.model, 'pocket.yaml');
}

test('all of them are configurations of trainings', () => {
  for (const name of ['autoencoder-colours', 'autoencoder-tiles', 'autoencoder-pictures', 'pocket']) {
    const { loop, train } = trainingConfig(read(name), name);
    assert.ok(loop.maxSteps >= 1000);
    assert.match(train.data_root ?? '', /^data\/(?:tiles|pictures|captioned)$/);
    // The rate falls to a small part of itself, and not before the end.
    assert.ok(loop.schedule(loop.maxSteps) <= 0.25);
    assert.ok(loop.schedule(loop.maxSteps / 2) > loop.schedule(loop.maxSteps));
  }
});

test('the autoencoder is the same in all of them', () => {
  const [colours, tiles, pictures] = ['autoencoder-colours', 'autoencoder-tiles', 'autoencoder-pictures'].map((name) =>
    autoencoderTraining(read(name), name),
  );
  assert.deepEqual(colours?.autoencoder, tiles?.autoencoder);
  assert.deepEqual(tiles?.autoencoder, pictures?.autoencoder);
  assert.deepEqual(pocket().first_stage_config, pictures?.autoencoder);
});

test('the model is no larger than 40 MB in float16', () => {
  const { unet_config, first_stage_config, cond_stage_config } = pocket();
  const counts = [unet_config, first_stage_config, cond_stage_config].map((config) => {
    assert.ok(isMapping(config));
    return networkParameters(config as NetworkConfig).reduce(
      (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
      0,
    );
  });
  assert.ok(counts.reduce((sum, count) => sum + count) * 2 < 40e6, `parameters: ${counts.join(', ')}`);
});
