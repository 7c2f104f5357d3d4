/** `image_logger.params` with `max_images`: the pictures of latent-diffusion's `log_images` in files of its names, at its steps. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { isLogged, logImagesSchema } from '../../src/training/image-log.ts';
import { writeTensors } from '../published-folders.ts';
import { classModel, randomTensors, superResolutionModel, vqModel } from '../random-models.ts';
import { autoencoderYaml, eventsOf, trainingRuns } from './training-runs.ts';

const { folder, pictures, options } = await trainingRuns();

/** A file of random weights of the model. */
async function starting(model: string, name: string): Promise<string> {
  const path = join(folder, `${name}.safetensors`);
  await writeTensors(path, randomTensors(model));
  return `training.init=${path}`;
}

const yaml = (model: string, logger: string): string => `${model
  .replace('timesteps: 1000', 'timesteps: 20, log_every_t: 10')
  .replace('use_ema: true', 'use_ema: false')}
  base_learning_rate: 1.0e-3
data: { params: { batch_size: 2, train: { params: { data_root: ${pictures} } } } }
lightning:
  callbacks: { image_logger: { target: main.ImageLogger, params: { batch_frequency: 3, max_images: 2, clamp: true, ${logger} } } }
  trainer: { max_steps: 3 }
training: { scale_lr: false, sample_count: 1, sample_steps: 1, validation_batches: 1 }
`;

const long = { skip: !process.env['SD_LONG'] };

const logged = (run: string, split: string): string[] => readdirSync(join(folder, run, 'images', split)).sort();

async function grid(run: string, name: string) {
  return nodeImageCodec.decode(new Uint8Array(readFileSync(join(folder, run, 'images/train', name))));
}

test('pictures, reconstructions, rows and samples of the batch', async () => {
  const kwargs = 'increase_log_steps: false, log_images_kwargs: { ddim_steps: 2, n_row: 2, plot_denoise_rows: true }';
  await eventsOf(options(yaml(classModel, kwargs), 'classes', [await starting(classModel, 'classes')]));
  const kinds =
    'denoise_row diffusion_row inputs mask progressive_row reconstruction samples samples_inpainting samples_outpainting samples_x0_quantized';
  assert.deepEqual(
    logged('classes', 'train'),
    kinds.split(' ').map((kind) => `${kind}_gs-000003_e-000000_b-000002.png`),
  );
  const sizes = async (kind: string): Promise<number[]> => {
    const { width, height } = await grid('classes', `${kind}_gs-000003_e-000000_b-000002.png`);
    return [width, height];
  };
  // Two pictures of 16 pixels, with padding of 2; three timesteps (0, 10, 19); the start and two steps; guesses at 19, 10 and 0.
  assert.deepEqual(await sizes('inputs'), [38, 20]);
  for (const row of ['diffusion_row', 'denoise_row', 'progressive_row'])
    assert.deepEqual(await sizes(row), [56, 38], row);
  const { data, width } = await grid('classes', 'mask_gs-000003_e-000000_b-000002.png');
  // The padding and the open middle are 0 of the range -1 to 1; what is kept is 1.
  const at = (x: number, y: number): number | undefined => data[3 * (y * width + x)];
  assert.deepEqual([at(0, 0), at(2, 2), at(6, 6)], [127, 255, 127]);
});

test('a small picture as the condition, chosen kinds, ancestral samples, and validation data', long, async () => {
  const chosen =
    'log_images_kwargs: { ddim_steps: null, return_keys: [conditioning, samples], inpaint: false, quantize_denoised: false, plot_progressive_rows: false }';
  await eventsOf(
    options(yaml(superResolutionModel, chosen), 'small', [
      'lightning.trainer.max_steps=1',
      'data.params.train.params.downscale_f=2',
      `data.params.validation.params.data_root=${pictures}`,
      'data.params.validation.params.downscale_f=2',
      await starting(superResolutionModel, 'small'),
    ]),
  );
  for (const [split, batch] of [
    ['train', '000000'],
    ['val', '000000'],
  ] as const)
    assert.deepEqual(
      logged('small', split),
      ['conditioning', 'samples'].map((name) => `${name}_gs-000001_e-000000_b-${batch}.png`),
    );
});

test('autoencoders', long, async () => {
  const logger = 'lightning.callbacks.image_logger.params';
  const few = ['lightning.trainer.max_steps=1', `${logger}.max_images=1`];
  await eventsOf(options(autoencoderYaml(pictures), 'autoencoder', few));
  assert.deepEqual(
    logged('autoencoder', 'train').map((name) => name.split('_gs')[0]),
    ['inputs', 'reconstructions'],
  );
});

test('the steps, and settings that are not possible', async () => {
  const log = logImagesSchema.parse({});
  const steps = (increases: boolean, logsFirst: boolean): number[] =>
    Array.from({ length: 24 }, (_, i) => i + 1).filter((step) =>
      isLogged({ every: 10, increases, logsFirst, most: 4, log }, step),
    );
  assert.deepEqual(steps(true, false), [1, 2, 4, 8, 10, 20]);
  assert.deepEqual(steps(false, true), [1, 10, 20]);
  await assert.rejects(
    () => eventsOf(options(yaml(vqModel, 'rescale: false'), 'refused')),
    /image_logger\.params\.rescale can only be true/,
  );
  await assert.rejects(
    () => eventsOf(options(yaml(vqModel, 'log_images_kwargs: { ddim_step: 3 }'), 'refused')),
    /ddim_step/,
  );
});
