/** Every trainer over ranks: 2 ranks have the losses and weights of one rank with the whole batch, up to the order of sums. Both run in this process. */

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringifyYaml } from '../../src/config/yaml.ts';
import { openFile } from '../../src/files/byte-source-node.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import { recipes } from '../../src/training/recipes.ts';
import { reference, skipUnless } from '../reference.ts';
import { adversarialYaml } from '../training/tiny-yaml.ts';
import { autoencoderYaml, colours, diffusionYaml, eventsOf, trainingRuns } from '../training/training-runs.ts';
import { localRanks } from './local-ranks.ts';

const runs = await trainingRuns();
const steps = 3;
/** The trainers that share most of their code with others run with SD_LONG=1. */
const long = process.env['SD_LONG'] === '1' ? false : 'SD_LONG=1 runs it';
const wholeBatch = 4;

/** Trains on so many ranks and gives the metrics of training by step. */
async function metricsOn(size: number, yaml: string, run: string, words: readonly string[]) {
  await Promise.all(
    localRanks(size).map((communicator) =>
      eventsOf({
        ...runs.options(yaml, run, [
          `lightning.trainer.max_steps=${steps}`,
          'lightning.trainer.accumulate_grad_batches=1',
          'lightning.modelcheckpoint.params.every_n_train_steps=3',
          'lightning.callbacks.image_logger.params.batch_frequency=0',
          'training.log_every=1',
          `data.params.batch_size=${wholeBatch / size}`,
          ...words,
        ]),
        report: false,
        communicator,
      }),
    ),
  );
  return runs
    .metrics(run)
    .filter((row) => Object.keys(row).some((name) => name.startsWith('train/')))
    .map((row) => Object.fromEntries(Object.entries(row).filter(([name]) => name.startsWith('train/'))));
}

async function lastWeights(run: string): Promise<ReadonlyMap<string, Float32Array>> {
  const source = await openSafetensors(await openFile(join(runs.folder, run, 'checkpoints', 'last.safetensors')));
  const out = new Map<string, Float32Array>();
  // Moments have squares, whose small numbers differ more; a digest is of the moments too.
  for (const name of source.entries.keys())
    if (!/^exp_avg|sha256$/.test(name)) out.set(name, (await source.read(name)).data as Float32Array);
  await source.close();
  return out;
}

interface Compared {
  readonly words?: readonly string[];
  /** Settings of the run on 2 ranks alone. */
  readonly onRanks?: readonly string[];
  /** Relative, of metrics. Default 1e-5. */
  readonly tolerance?: number;
  /** Metrics that are not means over pictures. */
  readonly except?: RegExp;
}

async function sameOnTwo(
  yaml: string,
  run: string,
  { words = [], onRanks = [], tolerance = 1e-5, except = /^$/ }: Compared = {},
): Promise<void> {
  const want = await metricsOn(1, yaml, `${run} on one`, words);
  const got = await metricsOn(2, yaml, `${run} on two`, [...words, ...onRanks]);
  assert.equal(got.length, steps);
  for (const [i, row] of want.entries())
    for (const [name, value] of Object.entries(row)) {
      const own = got[i]?.[name] ?? Number.NaN;
      if (except.test(name)) continue;
      assert.ok(
        Math.abs(own - value) <= tolerance * Math.max(1e-3, Math.abs(value)),
        `step ${i + 1}, ${name}: ${own}, not ${value}`,
      );
    }
  const [one, two] = [await lastWeights(`${run} on one`), await lastWeights(`${run} on two`)];
  assert.deepEqual([...two.keys()], [...one.keys()]);
  // Adam divides by the root of the second moment: a gradient near zero may move its weight by the learning rate either way.
  let far = 0;
  let count = 0;
  for (const [name, values] of one)
    for (const [i, value] of values.entries()) {
      count++;
      if (Math.abs(value - (two.get(name)?.[i] ?? Number.NaN)) > 1e-4) far++;
    }
  assert.ok(count > 0 && far <= count / 200, `${far} of ${count} weights differ by more than 1e-4`);
}

test('an autoencoder', () => sameOnTwo(autoencoderYaml(runs.pictures), 'autoencoder'));

const adversarial = adversarialYaml(runs.pictures);

test('an autoencoder with a discriminator, whose batch norm is synchronised', () =>
  sameOnTwo(adversarial, 'adversarial', { onRanks: ['training.sync_batch_norm=true'], tolerance: 1e-4 }));

test('without that each rank has the statistics of its own pictures', { skip: long }, async () => {
  const want = await metricsOn(1, adversarial, 'statistics of all', []);
  const got = await metricsOn(2, adversarial, 'statistics of each', []);
  const name = 'train/logits_fake';
  assert.ok(Math.abs((got[1]?.[name] ?? Number.NaN) / (want[1]?.[name] ?? Number.NaN) - 1) > 1e-4);
});

test('a latent diffusion model, with gradients divided and the backward pass in parts', async () => {
  const yaml = diffusionYaml(runs.pictures, join(runs.folder, 'autoencoder on one', 'model.safetensors'));
  await sameOnTwo(yaml.replace('sample_prompts: [a red square, a blue square], ', ''), 'diffusion', {
    onRanks: ['training.shard_states=true', 'training.shard_gradients=true', 'training.backward_parts=3'],
  });
});

const named = join(runs.folder, 'named');
mkdirSync(named);
for (let i = 0; i < 6; i++) copyFileSync(join(runs.pictures, `${i}.png`), join(named, `${colours[i % 3]}_${i}.png`));
const pixels = (target: string, params: string): string => `
model:
  base_learning_rate: 1.0e-3
  target: guided_diffusion.${target}
  params: { image_size: 16, diffusion_steps: 20, noise_schedule: cosine, ${params} }
data: { params: { batch_size: 2, train: { params: { data_root: ${named} } } } }
training: { sample_count: 1 }
`;

test('a model of pixels', { skip: long }, () =>
  sameOnTwo(
    pixels(
      'image_train',
      'class_cond: true, num_classes: 3, num_channels: 32, num_res_blocks: 1, channel_mult: "1,1", attention_resolutions: "8", learn_sigma: true, schedule_sampler: loss-second-moment',
    ),
    'pixels',
  ),
);

test('a classifier of noisy pictures', () =>
  sameOnTwo(
    pixels(
      'classifier_train',
      'classifier_width: 64, classifier_depth: 1, classifier_attention_resolutions: "8", classifier_channel_mult: "1,1", num_classes: 3',
    ),
    'classifier',
  ));

const checkpoint = 'diffusion/pipelines/tiny.ckpt';
const recipe = (name: string): string => stringifyYaml(recipes[name]?.document);
const adapted = [
  `model.params.ckpt_path=${reference(checkpoint)}`,
  `data.params.train.params={data_root: ${runs.pictures}, size: 32}`,
  'model.base_learning_rate=1e-3',
];

test('a LoRA', { skip: skipUnless(checkpoint) }, () => sameOnTwo(recipe('lora'), 'lora', { words: adapted }));

test('a control network', { skip: skipUnless(checkpoint) }, () =>
  sameOnTwo(recipe('controlnet'), 'controlnet', { words: [...adapted, 'model.params.annotator=canny'] }),
);

test('DreamBooth with pictures of the class', { skip: long || skipUnless(checkpoint) }, () =>
  sameOnTwo(recipe('dreambooth'), 'dreambooth', {
    words: [
      ...adapted,
      'model.params.instance_prompt=a photo of sks square',
      `model.params.prior={data_root: ${join(runs.folder, 'class')}, prompt: a square, count: 4, steps: 2}`,
    ],
  }),
);

test('textual inversion', { skip: long || skipUnless(checkpoint) }, () =>
  sameOnTwo(recipe('textual-inversion'), 'inversion', {
    words: [...adapted, 'model.params.token=<thing>', 'model.params.initializer=cat', 'model.params.vectors=2'],
  }),
);
