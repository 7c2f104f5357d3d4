/** Checkpoints of denoising-diffusion-pytorch: recognised, sampled by the process that they hold, in bulk. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openLucidFile } from '../../src/checkpoints/lucid-file.ts';
import { parseLucidFlags } from '../../src/config/lucid-flags.ts';
import { lucidUNetConfigSchema } from '../../src/config/network-config.ts';
import type { Pixels } from '../../src/diffusion/gaussian/index.ts';
import { lucidBetas, lucidLossWeights } from '../../src/diffusion/lucid-schedules.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { lucidObjective, openLucidModel } from '../../src/model/lucid-model.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { expectDType, type Tensor } from '../../src/tensor/tensor.ts';
import { writeTensors } from '../published-folders.ts';
import { randomWeights } from '../random-models.ts';
import { reference } from '../reference.ts';
import { sd, temporaryFolder } from './run-cli.ts';

const file = reference('lucid/model-1.pt');

test("a Trainer's file samples as the original does, ancestral and by DDIM", async () => {
  await using engine = createNodeEngine({ threads: 1 });
  const weights = await openWeightsAt(file);
  const recorded = await openWeightsAt(reference('lucid/samples.safetensors'));
  const opened = openLucidFile(weights);
  assert.ok(opened?.isAveraged);
  assert.equal(openLucidFile(weights, { last: true })?.isAveraged, false);
  await using model = await openLucidModel(engine, opened, parseLucidFlags(''));
  assert.deepEqual([model.channels, model.unit, model.process.steps], [3, 2, 12]);
  const draws = expectDType(await recorded.read('noise'), 'float32');
  const size = draws.data.length / 13;
  const draw = (i: number): Pixels => ({
    dtype: 'float32',
    shape: [2, 3, 8, 8],
    data: draws.data.slice(i * size, (i + 1) * size),
  });
  for (const [name, steps, eta] of [
    ['ancestral', 12, 0],
    ['ddim', 5, 0.5],
  ] as const) {
    let next = 1;
    const noise = (): Pixels => draw(Math.min(next++, 12));
    const made = await model.process.sample(model.network, draw(0), { steps, eta, noise });
    const want = await recorded.read(name);
    const far = made.data.map((value, i) => Math.abs((value + 1) / 2 - Number(want.data[i])));
    assert.ok(Math.max(...far) < 2e-5, `${name}: ${Math.max(...far)}`);
  }
  await recorded.close();
  await weights.close();
});

test('the objective is found by the weights of the loss, with min-SNR and without', () => {
  for (const schedule of ['linear', 'cosine', 'sigmoid'] as const)
    for (const [objective, parameterization] of [
      ['pred_noise', 'eps'],
      ['pred_x0', 'x0'],
      ['pred_v', 'v'],
    ] as const)
      for (const gamma of [undefined, 5, 1]) {
        const betas = lucidBetas[schedule](1000);
        const found = lucidObjective(betas, Float32Array.from(lucidLossWeights(betas, parameterization, gamma)));
        assert.equal(found, objective);
      }
  assert.equal(lucidObjective(lucidBetas.linear(100), new Float32Array(100).fill(7)), undefined);
});

test('sd sample: its settings, pictures that depend on the seed and their number alone, and what it refuses', async (context) => {
  const folder = temporaryFolder(context);
  const run = (out: string, ...more: string[]) =>
    sd(['sample', '--model', file, '--threads', '1', '--quiet', '--outdir', join(folder, out), ...more]);
  const sized = ['--width', '8', '--count', '3'];
  const whole = await run('whole', ...sized);
  assert.equal(whole.code, 0, whole.err);
  assert.equal((await run('shards', ...sized, '--batch', '1', '--shard', '2/3')).code, 0);
  assert.deepEqual(readdirSync(join(folder, 'shards/img')), ['000001.png']);
  assert.deepEqual(
    readFileSync(join(folder, 'shards/img/000001.png')),
    readFileSync(join(folder, 'whole/img/000001.png')),
  );
  const settings = JSON.parse(readFileSync(join(folder, 'whole/sampling.json'), 'utf8'));
  assert.deepEqual([settings.ema, settings.steps, settings.width, settings.height], [true, 12, 8, 8]);
  for (const [words, expected] of [
    [['--count', '1'], /does not hold the size of its pictures\. Give --width/],
    [[...sized, '--steps', '13'], /trained with 12 timesteps; 13 steps are more/],
    [['--width', '9', '--count', '1'], /multiples of 2, not 9 x 9/],
    [[...sized, '--class', '1'], /takes no --class/],
    [[...sized, '--flags', '--objektive pred_v'], /no flag --objektive/],
  ] as const)
    assert.match((await run('refused', ...words)).err, expected);
  const asModel = await sd(['txt2img', 'a house', '--model', file, '--skip_save']);
  assert.match(asModel.err, /is a model of denoising-diffusion-pytorch.*Its pictures come from sd sample/);
  assert.match((await sd(['inspect', file])).out, /lucid_unet/);
});

test('ElucidatedDiffusion, continuous time and a UNet alone', async (context) => {
  const folder = temporaryFolder(context);
  const settings = { kind: 'lucid_unet', dim: 4, dim_mults: [1, 2], attn_heads: 1, attn_dim_head: 4 };
  const write = async (name: string, prefix: string, more: object): Promise<string> => {
    const config = lucidUNetConfigSchema.parse({ ...settings, ...more });
    const path = join(folder, name);
    await writeTensors(path, new Map<string, Tensor>(randomWeights(config, prefix, new TorchGenerator(2))));
    return path;
  };
  const fourier = { learned_sinusoidal_cond: true };
  const files = {
    elucidated: await write('edm.pt', 'net.', { ...fourier, self_condition: true }),
    continuous: await write('continuous.pt', 'model.', fourier),
    alone: await write('alone.pt', '', {}),
    grey: await write('grey.pt', '', { channels: 1, learned_variance: true }),
  };
  const run = (path: string, flags?: string) =>
    sd([
      ...['sample', '--model', path, '--width', '8', '--count', '1', '--steps', '2', '--threads', '1', '--quiet'],
      ...[
        '--outdir',
        join(folder, `${path}-made${flags?.length ?? 0}`),
        ...(flags === undefined ? [] : ['--flags', flags]),
      ],
    ]);
  const gaussian = '--beta_schedule cosine --objective pred_noise --timesteps 50';
  for (const [path, flags] of [
    [files.elucidated, undefined],
    [files.elucidated, '--sigma_max 40 --S_churn 0'],
    [files.continuous, '--noise_schedule cosine'],
    [files.continuous, '--noise_schedule linear --objective pred_v --auto_normalize False'],
    [files.alone, gaussian],
    [files.grey, gaussian],
  ] as const) {
    const made = await run(path, flags);
    assert.equal(made.code, 0, `${flags}: ${made.err}`);
  }
  assert.match((await run(files.continuous)).err, /Give --flags "--noise_schedule linear", or cosine/);
  assert.match((await run(files.alone)).err, /a UNet without its diffusion\. Give --flags/);
  const imagen = await write('imagen.pt', 'unets.0.', {});
  assert.match((await run(imagen)).err, /holds UNets of imagen-pytorch, and this program does not have that network/);
});
