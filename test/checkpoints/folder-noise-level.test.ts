/** The greatest noise level of an x4 upscaler's folder: what its model_index.json states. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { folderImageCondition } from '../../src/checkpoints/infer/image-condition.ts';
import { smallUNet } from '../networks.ts';

const unet = smallUNet({ in_channels: 7, num_classes: 1000 });
const levelOf = (index: unknown, scheduler?: object): number => {
  const condition = folderImageCondition(unet, undefined, { model_index: index, image_scheduler: scheduler });
  assert.equal(condition?.kind, 'low_scale');
  return condition?.kind === 'low_scale' ? condition.max_noise_level : Number.NaN;
};

test('it is read; a folder without one has that of the published upscaler', () => {
  assert.equal(levelOf({ _class_name: 'StableDiffusionUpscalePipeline', max_noise_level: 200 }), 200);
  assert.equal(levelOf({ max_noise_level: 0 }), 0);
  assert.equal(levelOf({ _class_name: 'StableDiffusionUpscalePipeline' }), 350);
  assert.equal(levelOf(undefined), 350);
});

test('one that the schedule does not have, or that is no whole number, is refused', () => {
  assert.throws(() => levelOf({ max_noise_level: 1000 }), {
    code: 'config-invalid',
    message: 'max_noise_level is 1000, and the schedule of the noise has 1000 levels.',
  });
  assert.throws(() => levelOf({ max_noise_level: 300 }, { num_train_timesteps: 200 }), { code: 'config-invalid' });
  for (const given of [-1, 1.5, '350']) assert.throws(() => levelOf({ max_noise_level: given }), /max_noise_level/);
});
