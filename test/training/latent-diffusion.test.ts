/** Latent diffusion models trained from a YAML: over a trained autoencoder, with text, classes or nothing as the condition, in all parameterizations. */

import assert from 'node:assert/strict';
import { resultOf } from '../pipelines/result.ts';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { loadModel } from '../../src/model/load-model-node.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import { openFile } from '../../src/files/byte-source-node.ts';
import { autoencoderYaml, ddconfig, diffusionYaml, eventsOf, stoppedAfter, trainingRuns } from './training-runs.ts';

const runs = await trainingRuns();
before(async () => {
  await eventsOf(
    runs.options(autoencoderYaml(runs.pictures), 'autoencoder', [
      'lightning.trainer.max_steps=1',
      'lightning.callbacks.image_logger.params.batch_frequency=0',
    ]),
  );
});

const yaml = diffusionYaml(runs.pictures, join(runs.folder, 'autoencoder', 'checkpoints', 'last.safetensors'));

const lossesOf = (run: string): number[] => runs.metrics(run).flatMap((row) => row['train/loss'] ?? []);

test('text: stopped and resumed to the same weights and scale, with samples, and the model loads and samples', async () => {
  const overrides = ['lightning.callbacks.image_logger.params.batch_frequency=4'];
  await eventsOf(runs.options(yaml, 'whole', overrides));
  await stoppedAfter(1, runs.options(yaml, 'parts', overrides));
  await eventsOf(runs.options(yaml, 'parts', overrides));
  for (const name of ['checkpoints/last.safetensors', 'model.safetensors', 'samples/step-00000004.png'])
    assert.ok(runs.file('parts', name).equals(runs.file('whole', name)), name);
  const path = join(runs.folder, 'whole', 'model.safetensors');
  const source = await openSafetensors(await openFile(path));
  const scale = Number((await source.read('scale_factor')).data[0]);
  assert.ok(scale > 0 && scale !== 1);
  await source.close();
  await using model = await loadModel(path, { engine: runs.engine });
  assert.equal(model.checkpoint.config.scale_factor, scale);
  const { images } = await resultOf(textToImage(model, { prompt: 'a red square', steps: 2, safety: false }));
  assert.equal(images[0]?.image.width, 16);
});

test('latents kept on disk, and the two phases: the second begins with the weights of the first at another size', async () => {
  const cache = `training.latent_cache=${join(runs.folder, 'latents')}`;
  const events = await eventsOf(runs.options(yaml, 'cached', [cache]));
  assert.deepEqual(
    events.find((event) => event.kind === 'latents' && event.done === 6),
    { kind: 'latents', done: 6, total: 6 },
  );
  assert.equal(readdirSync(join(runs.folder, 'latents')).length, 1);
  const again = await eventsOf(runs.options(yaml, 'cached-again', [cache]));
  assert.equal(again.at(-1)?.kind, 'end');
  assert.ok(runs.file('cached', 'model.safetensors').equals(runs.file('cached-again', 'model.safetensors')));
  await assert.rejects(eventsOf(runs.options(yaml, 'cached-other', [cache, 'data.params.train.params.size=32'])), {
    code: 'config-invalid',
  });

  await eventsOf(
    runs.options(yaml, 'second', [
      `training.init=${join(runs.folder, 'cached', 'checkpoints', 'last.safetensors')}`,
      'data.params.train.params.size=32',
    ]),
  );
  assert.ok((lossesOf('second')[0] ?? 9) < (lossesOf('cached')[0] ?? 0));
});

test('a frozen text encoder stays as it was, and has to be given', async () => {
  await assert.rejects(eventsOf(runs.options(yaml, 'frozen', ['model.params.cond_stage_trainable=false'])), {
    code: 'config-invalid',
    message: /cond_stage/,
  });
  const from = join(runs.folder, 'whole', 'model.safetensors');
  await eventsOf(runs.options(yaml, 'frozen', ['model.params.cond_stage_trainable=false', `training.init=${from}`]));
  const name = 'cond_stage_model.transformer.text_model.final_layer_norm.weight';
  const read = async (run: string, tensor: string) => {
    const source = await openSafetensors(await openFile(join(runs.folder, run, 'model.safetensors')));
    const { data } = await source.read(tensor);
    await source.close();
    return data;
  };
  assert.deepEqual(await read('frozen', name), await read('whole', name));
  assert.notDeepEqual(
    await read('frozen', 'model.diffusion_model.out.2.weight'),
    await read('whole', 'model.diffusion_model.out.2.weight'),
  );
});

test('classes, with samples of them, in x0; no condition, in v', async () => {
  const grid = ['lightning.callbacks.image_logger.params.batch_frequency=4', 'training.sample_count=3'];
  await eventsOf(
    runs.options(yaml, 'classes', [
      ...grid,
      'model.params.parameterization=x0',
      'model.params.cond_stage_key=class_label',
      'model.params.ucg_training={class_label: {p: 0.2, val: 3}}',
      'model.params.cond_stage_config={target: ldm.modules.encoders.modules.ClassEmbedder, params: {n_classes: 4, embed_dim: 16, key: class_label}}',
    ]),
  );
  await eventsOf(
    runs.options(yaml, 'nothing', [
      ...grid,
      'model.params.parameterization=v',
      'model.params.cond_stage_config=__is_unconditional__',
      'model.params.ucg_training={}',
      'model.params.unet_config.params.use_spatial_transformer=false',
      'model.params.unet_config.params.context_dim=null',
    ]),
  );
  for (const run of ['classes', 'nothing']) {
    assert.deepEqual(readdirSync(join(runs.folder, run, 'samples')), ['step-00000004.png']);
    assert.ok(lossesOf(run).every((loss) => loss > 0 && loss < 100));
  }
});

test('inpainting: further channels on a model of text; super-resolution over VQ', async () => {
  const grid = 'lightning.callbacks.image_logger.params.batch_frequency=4';
  const from = join(runs.folder, 'whole', 'checkpoints', 'last.safetensors');
  const inpainting = [
    'model.target=ldm.models.diffusion.ddpm.LatentInpaintDiffusion',
    'model.params.conditioning_key=hybrid',
    'model.params.unet_config.params.in_channels=5',
    `training.init=${from}`,
  ];
  await eventsOf(runs.options(yaml, 'inpainting', [...inpainting, grid]));
  await stoppedAfter(2, runs.options(yaml, 'inpainting-parts', [...inpainting, grid]));
  await eventsOf(runs.options(yaml, 'inpainting-parts', [...inpainting, grid]));
  assert.ok(runs.file('inpainting-parts', 'model.safetensors').equals(runs.file('inpainting', 'model.safetensors')));
  assert.deepEqual(readdirSync(join(runs.folder, 'inpainting', 'samples')), ['step-00000004.png']);
  await using model = await loadModel(join(runs.folder, 'inpainting', 'model.safetensors'), { engine: runs.engine });
  assert.equal(model.checkpoint.kind, 'inpaint');

  const vq = `{target: ldm.models.autoencoder.VQModelInterface, params: {embed_dim: 2, n_embed: 16, ddconfig: ${ddconfig.replace('double_z: true', 'double_z: false')}, ckpt_path: ${join(runs.folder, 'vq', 'model.safetensors')}}}`;
  await eventsOf(
    runs.options(autoencoderYaml(runs.pictures), 'vq', [
      'model.target=ldm.models.autoencoder.VQModel',
      'model.params.n_embed=16',
      'model.params.lossconfig={target: taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator, params: {disc_start: 1, disc_num_layers: 1, perceptual_weight: 0}}',
      'model.params.ddconfig.double_z=false',
      'lightning.trainer.max_steps=2',
      'model.params.use_ema=false',
    ]),
  );
  assert.ok(runs.metrics('vq').some((row) => (row['train/disc_loss'] ?? 0) > 0));
  await eventsOf(
    runs.options(yaml, 'larger', [
      grid,
      'model.params.unet_config.params.in_channels=5',
      'model.params.conditioning_key=concat',
      'model.params.cond_stage_config={target: torch.nn.Identity}',
      'model.params.cond_stage_key=LR_image',
      'model.params.cond_stage_trainable=false',
      'model.params.ucg_training={}',
      'model.params.unet_config.params.use_spatial_transformer=false',
      'model.params.unet_config.params.context_dim=null',
      `model.params.first_stage_config=${vq}`,
      'data.params.train.params.downscale_f=2',
      'data.params.train.params.degradation=bsrgan_light',
    ]),
  );
  assert.deepEqual(readdirSync(join(runs.folder, 'larger', 'samples')), ['step-00000004.png']);
  await assert.rejects(eventsOf(runs.options(yaml, 'wrong', ['model.params.unet_config.params.in_channels=9'])), {
    code: 'config-invalid',
  });
});
