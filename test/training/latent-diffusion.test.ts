/** Latent diffusion models trained from a YAML: over a trained autoencoder, with text, classes or nothing as the condition, in all parameterizations. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { loadModel } from '../../src/pipelines/load-model-node.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { openSafetensors } from '../../src/weights/safetensors.ts';
import { openFile } from '../../src/weights/byte-source-node.ts';
import { autoencoderYaml, ddconfig, eventsOf, stoppedAfter, trainingRuns } from './training-runs.ts';

const engine = createNodeEngine({ threads: 1 });
const runs = await trainingRuns(engine);
after(async () => {
  await engine.dispose();
  runs.remove();
});
before(async () => {
  await eventsOf(runs.options(autoencoderYaml(runs.pictures), 'autoencoder', ['lightning.trainer.max_steps=1', 'lightning.callbacks.image_logger.params.batch_frequency=0']));
});

const yaml = `
model:
  base_learning_rate: 1.0e-3
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    linear_start: 0.00085
    linear_end: 0.012
    timesteps: 100
    image_size: 8
    channels: 2
    cond_stage_key: txt
    cond_stage_trainable: true
    conditioning_key: crossattn
    scale_by_std: true
    use_ema: true
    ucg_training: { txt: { p: 0.5, val: "" } }
    scheduler_config: { target: ldm.lr_scheduler.LambdaLinearScheduler, params: { warm_up_steps: [2], cycle_lengths: [100], f_start: [0.1], f_max: [1.0], f_min: [0.1] } }
    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params: { image_size: 8, in_channels: 2, out_channels: 2, model_channels: 32, num_res_blocks: 1, attention_resolutions: [2], channel_mult: [1, 1], num_heads: 2, use_spatial_transformer: true, transformer_depth: 1, context_dim: 16, use_checkpoint: false, legacy: false }
    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params: { ckpt_path: ${join(runs.folder, 'autoencoder', 'checkpoints', 'last.safetensors')}, embed_dim: 2, ddconfig: ${ddconfig}, lossconfig: { target: torch.nn.Identity } }
    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenCLIPEmbedder
      params: { hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32, vocab_size: 1024, max_position_embeddings: 77, max_length: 12 }
data:
  params: { batch_size: 2, train: { params: { data_root: ${runs.pictures}, size: 16, flip_p: 0.5 } } }
lightning:
  modelcheckpoint: { params: { every_n_train_steps: 2 } }
  callbacks: { image_logger: { params: { batch_frequency: 0 } } }
  trainer: { max_steps: 4, accumulate_grad_batches: 2, gradient_clip_val: 1.0 }
training: { scale_lr: false, ema_decay: 0.9, log_every: 1, keep_best: 1, sample_prompts: [a red square, a blue square], sample_steps: 2, noise_offset: 0.1, input_perturbation: 0.1, min_snr_gamma: 5 }
`;

const lossesOf = (run: string): number[] => runs.metrics(run).flatMap((row) => row['train/loss'] ?? []);

test('text: stopped and resumed to the same weights and scale, with samples, and the model loads and samples', async () => {
  const overrides = ['lightning.callbacks.image_logger.params.batch_frequency=4'];
  await eventsOf(runs.options(yaml, 'whole', overrides));
  await stoppedAfter(1, runs.options(yaml, 'parts', overrides));
  await eventsOf(runs.options(yaml, 'parts', overrides));
  for (const name of ['checkpoints/last.safetensors', 'model.safetensors', 'samples/step-00000004.png']) assert.ok(runs.file('parts', name).equals(runs.file('whole', name)), name);
  const path = join(runs.folder, 'whole', 'model.safetensors');
  const source = await openSafetensors(await openFile(path));
  const scale = Number((await source.read('scale_factor')).data[0]);
  assert.ok(scale > 0 && scale !== 1);
  await source.close();
  await using model = await loadModel(path, { engine });
  assert.equal(model.checkpoint.config.scale_factor, scale);
  for await (const event of textToImage(model, { prompt: 'a red square', steps: 2, safety: false })) if (event.kind === 'result') assert.equal(event.images[0]?.image.width, 16);
});

test('latents kept on disk, and the two phases: the second begins with the weights of the first at another size', async () => {
  const cache = `training.latent_cache=${join(runs.folder, 'latents')}`;
  const events = await eventsOf(runs.options(yaml, 'cached', [cache]));
  assert.deepEqual(events.find((event) => event.kind === 'latents' && event.done === 6), { kind: 'latents', done: 6, total: 6 });
  assert.equal(readdirSync(join(runs.folder, 'latents')).length, 1);
  const again = await eventsOf(runs.options(yaml, 'cached-again', [cache]));
  assert.equal(again.at(-1)?.kind, 'end');
  assert.ok(runs.file('cached', 'model.safetensors').equals(runs.file('cached-again', 'model.safetensors')));
  await assert.rejects(eventsOf(runs.options(yaml, 'cached-other', [cache, 'data.params.train.params.size=32'])), { code: 'config-invalid' });

  await eventsOf(runs.options(yaml, 'second', [`training.init=${join(runs.folder, 'cached', 'checkpoints', 'last.safetensors')}`, 'data.params.train.params.size=32']));
  assert.ok((lossesOf('second')[0] ?? 9) < (lossesOf('cached')[0] ?? 0));
});

test('a frozen text encoder stays as it was, and has to be given', async () => {
  await assert.rejects(eventsOf(runs.options(yaml, 'frozen', ['model.params.cond_stage_trainable=false'])), { code: 'config-invalid', message: /cond_stage/ });
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
  assert.notDeepEqual(await read('frozen', 'model.diffusion_model.out.2.weight'), await read('whole', 'model.diffusion_model.out.2.weight'));
});

test('classes, with samples of them, in x0; no condition, in v', async () => {
  const grid = ['lightning.callbacks.image_logger.params.batch_frequency=4', 'training.sample_count=3'];
  await eventsOf(runs.options(yaml, 'classes', [
    ...grid, 'model.params.parameterization=x0', 'model.params.cond_stage_key=class_label', 'model.params.ucg_training={class_label: {p: 0.2, val: 3}}',
    'model.params.cond_stage_config={target: ldm.modules.encoders.modules.ClassEmbedder, params: {n_classes: 4, embed_dim: 16, key: class_label}}',
  ]));
  await eventsOf(runs.options(yaml, 'nothing', [
    ...grid, 'model.params.parameterization=v', 'model.params.cond_stage_config=__is_unconditional__', 'model.params.ucg_training={}', 'model.params.unet_config.params.use_spatial_transformer=false', 'model.params.unet_config.params.context_dim=null',
  ]));
  for (const run of ['classes', 'nothing']) {
    assert.deepEqual(readdirSync(join(runs.folder, run, 'samples')), ['step-00000004.png']);
    assert.ok(lossesOf(run).every((loss) => loss > 0 && loss < 100));
  }
});
