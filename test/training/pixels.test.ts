/** guided-diffusion's trainings of models over pixels, upsamplers and classifiers as runs, and their files in `sd sample`. */

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeNpz } from '../../src/formats/npz.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import { openFile } from '../../src/files/byte-source-node.ts';
import { storedAdmFlags } from '../../src/config/adm-published.ts';
import { annealAfterSteps, annealOverSteps } from '../../src/training/step/learning-rate.ts';
import { sd } from '../cli/run-cli.ts';
import { colours, eventsOf, stoppedAfter, trainingRuns } from './training-runs.ts';

const runs = await trainingRuns();
const { folder, options, file, metrics } = runs;

/** Pictures whose names begin with their class, as guided-diffusion's. */
const named = join(folder, 'named');
mkdirSync(named);
for (let i = 0; i < 6; i++) copyFileSync(join(runs.pictures, `${i}.png`), join(named, `${colours[i % 3]}_${i}.png`));

const unetFlags =
  'num_channels: 32, num_res_blocks: 1, channel_mult: "1,1", attention_resolutions: "8", num_head_channels: 16, diffusion_steps: 20, noise_schedule: cosine, resblock_updown: true';
const yaml = (target: string, params: string): string => `
model:
  base_learning_rate: 1.0e-3
  target: guided_diffusion.${target}
  params: { ${params} }
data: { params: { batch_size: 2, train: { params: { data_root: ${named} } } } }
lightning:
  modelcheckpoint: { params: { every_n_train_steps: 3 } }
  callbacks: { image_logger: { params: { batch_frequency: 6 } } }
  trainer: { max_steps: 6, accumulate_grad_batches: 2 }
training: { log_every: 1, sample_count: 2, sample_steps: 4 }
`;
const imageYaml = yaml(
  'image_train',
  `image_size: 16, class_cond: true, num_classes: 3, learn_sigma: true, rescale_learned_sigmas: true, dropout: 0.1, schedule_sampler: loss-second-moment, lr_anneal_steps: 6, ema_rate: "0.5,0.9", ${unetFlags}`,
);

async function tensorsOf(run: string, name: string): Promise<ReadonlyMap<string, Float32Array>> {
  const source = await openSafetensors(await openFile(join(folder, run, name)));
  const out = new Map<string, Float32Array>();
  for (const key of source.entries.keys()) out.set(key, (await source.read(key)).data as Float32Array);
  await source.close();
  return out;
}

test('a stopped run of image_train goes on to the same bits: weights, both averages, drawn timesteps and losses', async () => {
  await eventsOf(options(imageYaml, 'whole'));
  await stoppedAfter(4, options(imageYaml, 'stopped'));
  await eventsOf(options(imageYaml, 'stopped'));
  for (const name of ['model.safetensors', 'ema_0.9.safetensors', 'checkpoints/last.safetensors'])
    assert.ok(file('whole', name).equals(file('stopped', name)), name);
});

test('the averages are those of their rates without a warm-up', async () => {
  await eventsOf(
    options(imageYaml, 'one', [
      'lightning.trainer.max_steps=1',
      'lightning.modelcheckpoint.params.every_n_train_steps=1',
    ]),
  );
  const saved = await tensorsOf('one', 'checkpoints/last.safetensors');
  const name = 'out.2.weight';
  const [now, half, most] = [name, `ema/${name}`, `ema_0.9/${name}`].map((key) => saved.get(key) as Float32Array);
  // From a = start: a += (1 - d)(p - a), so the start is p + (a - p) / d for both.
  for (const i of [0, 7, 100]) {
    const p = now?.[i] as number;
    const starts = [p + ((half?.[i] as number) - p) / 0.5, p + ((most?.[i] as number) - p) / 0.9];
    assert.ok(Math.abs((starts[0] as number) - (starts[1] as number)) < 1e-6);
    assert.notEqual(half?.[i], p);
  }
});

test('metrics have the terms of the loss by quarter of the process, and the annealed rate', () => {
  const rows = metrics('whole');
  const names = new Set(rows.flatMap((row) => Object.keys(row)));
  for (const name of ['train/loss', 'train/mse', 'train/vb']) assert.ok(names.has(name), name);
  assert.ok([0, 1, 2, 3].some((q) => names.has(`train/loss_q${q}`)));
  assert.deepEqual(
    rows.map((row) => row['train/lr']?.toFixed(7)),
    [6, 6, 5, 4, 3, 2].map((n) => ((1e-3 * n) / 6).toFixed(7)),
  );
  assert.equal(annealAfterSteps(10)(0), 1);
  assert.equal(annealOverSteps(10)(5), 0.5);
});

test('the result has the names of the published files and its flags, and sd sample reads it alone', async () => {
  const source = await openSafetensors(await openFile(join(folder, 'whole', 'model.safetensors')));
  assert.ok(source.entries.has('input_blocks.0.0.weight') && source.entries.has('label_emb.weight'));
  assert.deepEqual(source.entries.get('out.2.weight')?.shape, [6, 32, 3, 3]);
  assert.equal(storedAdmFlags(source.metadata, 'model')?.['num_classes'], 3);
  await source.close();
  const out = join(folder, 'samples');
  const made = await sd([
    'sample',
    '--model',
    join(folder, 'whole', 'model.safetensors'),
    '--count',
    '2',
    '--steps',
    '3',
    '--outdir',
    out,
    '--quiet',
  ]);
  assert.equal(made.code, 0, made.err);
});

test('a classifier is trained by the names of files and guides a sample', async () => {
  const classifier = yaml(
    'classifier_train',
    'image_size: 16, num_classes: 3, classifier_width: 64, classifier_depth: 1, classifier_attention_resolutions: "8", diffusion_steps: 20, noise_schedule: cosine, anneal_lr: true, classifier_channel_mult: "1,1"',
  );
  await eventsOf(options(classifier, 'classifier'));
  const rows = metrics('classifier');
  assert.ok(rows.every((row) => (row['train/acc@1'] as number) >= 0 && row['train/acc@5'] === 1));
  const base = [
    'sample',
    '--model',
    join(folder, 'whole', 'model.safetensors'),
    '--count',
    '1',
    '--steps',
    '3',
    '--class',
    '1',
    '--quiet',
  ];
  const guided = await sd([
    ...base,
    '--outdir',
    join(folder, 'guided'),
    '--classifier',
    join(folder, 'classifier', 'model.safetensors'),
    '--classifier-scale',
    '50',
  ]);
  assert.equal(guided.code, 0, guided.err);
});

test('an upsampler learns from pictures that were shrunk by areas', async () => {
  const upsampler = yaml('super_res_train', `large_size: 16, small_size: 8, learn_sigma: true, ${unetFlags}`);
  await eventsOf(options(upsampler, 'upsampler'));
  const model = await tensorsOf('upsampler', 'model.safetensors');
  assert.equal(model.get('input_blocks.0.0.weight')?.length, 32 * 6 * 9);
  const base = join(folder, 'small.npz');
  const small = {
    dtype: 'uint8' as const,
    shape: [2, 8, 8, 3],
    data: Uint8Array.from({ length: 384 }, (_, i) => i % 256),
  };
  writeFileSync(base, writeNpz({ arr_0: small }));
  const words = ['sample', '--model', join(folder, 'upsampler', 'model.safetensors'), '--base', base, '--steps', '3'];
  const made = await sd([...words, '--outdir', join(folder, 'enlarged'), '--quiet']);
  assert.equal(made.code, 0, made.err);
});

test('settings that belong elsewhere are refused by name', async () => {
  for (const [params, expected] of [
    ['microbatch: 1', /params\.microbatch of guided-diffusion is here lightning\.trainer\.accumulate_grad_batches/],
    ['use_fp16: true', /training is in float32/],
    ['num_chanels: 3', /params has no num_chanels/],
    ['ema_rate: "1.5"', /ema_rate/],
  ] as const)
    await assert.rejects(eventsOf(options(yaml('image_train', `image_size: 16, ${params}`), 'refused')), expected);
});
