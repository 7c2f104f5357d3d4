/** Training of autoencoders beyond the recorded runs: resume, a late discriminator, ActNorm, the light loss, LDM's YAML, weights to begin with. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { autoencoderTraining, discriminatorOf } from '../../src/config/autoencoder-training.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { createImage } from '../../src/image/image.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { type AutoencoderTraining, createAutoencoderTraining } from '../../src/training/autoencoder/trainee.ts';
import { autoencoderWeights } from '../../src/training/autoencoder/weights.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { keepPrograms } from '../kept-programs.ts';

const engine = keepPrograms(createNodeEngine({ threads: 2 }));
after(() => engine.dispose());

/** The form of `configs/autoencoder/autoencoder_kl_32x32x4.yaml` of latent-diffusion, smaller. */
const yaml = (loss: string): string => `
model:
  base_learning_rate: 4.5e-6
  target: ldm.models.autoencoder.AutoencoderKL
  params:
    monitor: "val/rec_loss"
    embed_dim: 4
    lossconfig:
${loss}
    ddconfig:
      double_z: True
      z_channels: 4
      resolution: 16
      in_channels: 3
      out_ch: 3
      ch: 32
      ch_mult: [ 1,2 ]
      num_res_blocks: 1
      attn_resolutions: [ ]
      dropout: 0.0
data:
  params:
    batch_size: 2
lightning:
  trainer:
    benchmark: True
    accumulate_grad_batches: 2
`;

const adversarial = (more: string): string => `
      target: ldm.modules.losses.LPIPSWithDiscriminator
      params:
        disc_start: 2
        kl_weight: 0.000001
        disc_weight: 0.5
        disc_num_layers: 1
        perceptual_weight: 0${more}
`;
const light = '      target: MultiscaleReconstruction';

const configOf = (loss: string) => autoencoderTraining(parseYaml(yaml(loss), 'a.yaml'), 'a.yaml');

/** A training of random pictures, by step. */
function setUp(
  loss: string,
  options: Partial<Parameters<typeof createAutoencoderTraining>[0]> = {},
): Promise<AutoencoderTraining> {
  const { objective, weights } = autoencoderWeights({ config: configOf(loss), seed: 1 });
  return createAutoencoderTraining({
    engine,
    objective,
    weights,
    size: { batch: 2, height: 16, width: 16 },
    ...options,
  });
}

const items = (seed: number) =>
  [0, 1].map((i) => {
    const image = createImage(16, 16, 3);
    image.data.set(new TorchGenerator(2 * seed + i).rand([16 * 16 * 3]).data.map((x) => Math.round(x * 255)));
    return { image, caption: '', name: String(i), metadata: {} };
  });

async function train(training: AutoencoderTraining, from: number, to: number): Promise<Record<string, number>[]> {
  const rows: Record<string, number>[] = [];
  for (let step = from; step < to; step++)
    rows.push({
      ...(await training.update([await training.prepare(items(step), step)], { learningRate: 1e-3 })).metrics,
    });
  return rows;
}

/** What a run folder does with a checkpoint. */
async function saved(training: AutoencoderTraining): Promise<{ weights: WeightSource; state: unknown }> {
  const { entries, provide, state } = training.checkpoint();
  const tensors = new Map<string, Tensor>();
  for (const entry of entries) tensors.set(entry.name, await provide(entry));
  return { weights: memoryWeights(tensors), state: JSON.parse(JSON.stringify(state)) };
}

test('the YAML of LDM', () => {
  const config = configOf(adversarial(''));
  assert.equal(config.base_learning_rate, 4.5e-6);
  assert.equal(config.accumulate_grad_batches, 2);
  assert.equal(config.monitor, 'val/rec_loss');
  assert.ok(config.loss.kind === 'lpips_discriminator');
  assert.deepEqual([config.loss.kl_weight, config.loss.disc_factor, config.loss.disc_loss], [1e-6, 1, 'hinge']);
  assert.deepEqual(discriminatorOf(config.loss), {
    kind: 'discriminator',
    input_nc: 3,
    ndf: 64,
    n_layers: 1,
    use_actnorm: false,
  });
  assert.equal(configOf(light).loss.kind, 'multiscale');
  for (const wrong of [
    '      target: torch.nn.Identity',
    '      target: taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator\n      params: { disc_start: 0 }',
    adversarial('\n        disc_conditional: true'),
    adversarial('\n        kl_wieght: 1'),
  ]) {
    assert.throws(() => configOf(wrong), { code: 'config-invalid' });
  }
});

test('LPIPS has to be given where the loss has it', () => {
  const config = configOf(adversarial('').replace('perceptual_weight: 0', 'perceptual_weight: 1'));
  assert.throws(() => autoencoderWeights({ config, seed: 1 }), { code: 'invalid-argument' });
  assert.throws(
    () => autoencoderWeights({ config, seed: 1, perceptual: memoryWeights(new Map([['a', float32([1], [0])]])) }),
    { code: 'weights-mismatch' },
  );
});

test('a resumed run goes on to the same bits, averages and running statistics too', async () => {
  await using whole = await setUp(adversarial('\n        disc_loss: vanilla'), { average: { decay: 0.99 } });
  await train(whole, 0, 2);
  const checkpoint = await saved(whole);
  const expected = await train(whole, 2, 4);
  await using other = await setUp(adversarial('\n        disc_loss: vanilla'), { average: { decay: 0.99 } });
  await other.restore(checkpoint.weights, checkpoint.state);
  assert.equal(other.step, 2);
  assert.deepEqual(await train(other, 2, 4), expected);
  const [a, b] = [await whole.state.read(), await other.state.read()];
  for (const [name, value] of Object.entries(a)) assert.deepEqual(b[name]?.data, value.data, name);
  await assert.rejects(other.restore(memoryWeights(new Map()), checkpoint.state), { code: 'weights-mismatch' });
});

test('a discriminator left out before disc_start changes nothing for the autoencoder, which then meets it', async () => {
  await using run = await setUp(adversarial(''));
  await using skip = await setUp(adversarial(''), { earlyDiscriminator: 'skip' });
  const [always, late] = [await train(run, 0, 2), await train(skip, 0, 2)];
  assert.deepEqual(
    late.map(({ nll_loss }) => nll_loss?.toFixed(2)),
    always.map(({ nll_loss }) => nll_loss?.toFixed(2)),
  );
  assert.equal(late[1]?.['disc_loss'], undefined);
  assert.equal(always[1]?.['disc_loss'], 0);
  const checkpoint = await saved(skip);
  const [third] = await train(skip, 2, 3);
  assert.ok((third?.['disc_loss'] ?? 0) > 0 && (third?.['d_weight'] ?? 0) > 0);
  await using resumed = await setUp(adversarial(''), { earlyDiscriminator: 'skip' });
  await resumed.restore(checkpoint.weights, checkpoint.state);
  assert.deepEqual(await train(resumed, 2, 3), [third]);
});

test('ActNorm takes its scale from the first batch and is trained from there', async () => {
  await using training = await setUp(adversarial('\n        use_actnorm: true'));
  const initialised = async () =>
    Number(
      (await training.state.read(['loss.discriminator.main.3.initialized']))['loss.discriminator.main.3.initialized']
        ?.data[0],
    );
  const scale = async () =>
    [
      ...((await training.state.read(['loss.discriminator.main.3.scale']))['loss.discriminator.main.3.scale']?.data ??
        []),
    ].map(Number);
  assert.equal(await initialised(), 0);
  await train(training, 0, 1);
  const first = await scale();
  assert.equal(await initialised(), 1);
  assert.ok(first.every((x) => x > 0) && new Set(first).size > 1);
  await train(training, 1, 2);
  assert.deepEqual(await scale(), first);
  await train(training, 2, 3);
  assert.ok((await scale()).some((x, i) => x !== first[i] && Math.abs(x - (first[i] ?? 0)) < 0.01));
});

test('the light loss goes down; validation and samples show the averaged weights', async () => {
  await using training = await setUp(light, { average: { decay: 0.5 } });
  const batch = await training.prepare(items(0), 0);
  const losses: number[] = [];
  for (let i = 0; i < 15; i++)
    losses.push((await training.update([batch], { learningRate: 2e-3 })).metrics['loss'] ?? Number.NaN);
  assert.ok((losses.at(-1) ?? 1) < 0.8 * (losses[0] ?? 0), losses.join(', '));
  const validated = await training.validate(batch);
  assert.ok((validated['loss'] ?? 1) < 0.9 * (losses[0] ?? 0) && validated['loss'] !== losses.at(-1));
  const { images, columns } = await training.samples(batch);
  assert.deepEqual([images.length, columns, images[0]?.width], [4, 2, 16]);
  const { entries } = training.model();
  assert.ok([...entries].every(({ name }) => /^(encoder|decoder|quant_conv|post_quant_conv)\./.test(name)));
});

test('gradients of several batches are averaged', async () => {
  await using together = await setUp(light);
  await using apart = await setUp(light, { size: { height: 16, width: 16 } });
  const batches = [await together.prepare(items(0), 0), await together.prepare(items(1), 1)];
  const both = (get: (batch: (typeof batches)[number]) => Tensor<'float32'> | undefined): Tensor<'float32'> => {
    const parts = batches.map((batch) => get(batch) as Tensor<'float32'>);
    return float32(
      [4, ...(parts[0]?.shape.slice(1) ?? [])],
      parts.flatMap(({ data }) => [...data]),
    );
  };
  const noise = both(({ noise: pair }) => pair?.[0]);
  await together.update(batches, { learningRate: 1e-3 });
  await apart.update([{ image: both(({ image }) => image), noise: [noise, noise] }], { learningRate: 1e-3 });
  const name = 'gradient/decoder.conv_in.weight';
  const [a, b] = [
    (await together.state.read([name]))[name]?.data ?? [],
    (await apart.state.read([name]))[name]?.data ?? [],
  ];
  // The sum of two batches against the mean of both.
  for (const [i, value] of [...b].entries()) assert.ok(Math.abs(Number(a[i]) / 2 - Number(value)) < 1e-5);
});

test('trainedPart decoder: the encoder stays to the bit, and is part of the model and of a checkpoint', async () => {
  for (const loss of [light, adversarial('')]) {
    await using training = await setUp(loss, { trainedPart: 'decoder', average: { decay: 0.5 } });
    const before = training.model();
    const values = new Map<string, Tensor>();
    for (const entry of before.entries) values.set(entry.name, await before.provide(entry));
    await train(training, 0, 3);
    const { entries, provide } = training.model();
    const moved = new Set<string>();
    for (const entry of entries) {
      const same = (await provide(entry)).data.every((value, i) => value === values.get(entry.name)?.data[i]);
      if (!same) moved.add(entry.name.split('.')[0] ?? '');
    }
    assert.ok([...entries].some(({ name }) => name.startsWith('encoder.')));
    assert.deepEqual([...moved].filter((name) => name !== 'loss').sort(), ['decoder', 'post_quant_conv']);
    const checkpoint = await saved(training);
    assert.ok(checkpoint.weights.entries.has('encoder.conv_in.weight'));
    await using other = await setUp(loss, { trainedPart: 'decoder', average: { decay: 0.5 } });
    await other.restore(checkpoint.weights, checkpoint.state);
    assert.deepEqual(await train(other, 3, 4), await train(training, 3, 4));
  }
});
