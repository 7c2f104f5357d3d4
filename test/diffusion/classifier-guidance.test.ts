/** Guidance by a classifier's gradient in the samplers: against guided-diffusion's DDIM, across samplers, and the gradient by finite differences. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { classifierGuidance } from '../../src/diffusion/classifier-guidance.ts';
import { type DiffusionModel, denoiser, type Latent } from '../../src/diffusion/denoiser.ts';
import { gaussianProcess, sampleGaussian } from '../../src/diffusion/gaussian/index.ts';
import { guidedModel, type Network } from '../../src/diffusion/guidance.ts';
import { noiseSchedule } from '../../src/diffusion/noise-schedule.ts';
import type { Parameterization } from '../../src/diffusion/objective.ts';
import { sampleDdim } from '../../src/diffusion/samplers/ddim.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { traceEncoderUNet } from '../../src/models/encoder-unet.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { maxDifference } from '../parity.ts';
import { classifierWeights, randomClassifier, randomClassifierConfig } from '../random-classifier.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const timesteps = 20;
const process = gaussianProcess({ timesteps, schedule: 'cosine', variance: 'fixed_small' });
const schedule = noiseSchedule(Float32Array.from(process.tables.alphasCumprod));
const start = new TorchGenerator(1).randn([2, 3, 4, 4]);
/** Smooth functions in place of the networks. */
const noiseOf = (x: Latent, t: number): Latent => ({ ...x, data: x.data.map((value) => Math.tanh(value + 0.01 * t)) });
const gradient = async (x: Latent, t: number): Promise<Latent> => ({
  ...x,
  data: x.data.map((value) => 0.3 * (0.5 - value) + 0.001 * t),
});

/** The same model saying eps, x0 or v. */
function guided(parameterization: Parameterization): DiffusionModel {
  const network: Network = async ({ x, timesteps: told }) => {
    const t = told.data[0] as number;
    const level = schedule.alphaBarAt(t);
    const [alpha, sigma] = [Math.sqrt(level), Math.sqrt(1 - level)];
    const eps = noiseOf(x, t);
    const x0 = x.data.map((value, i) => (value - sigma * (eps.data[i] as number)) / alpha);
    const output = { eps: eps.data, x0, v: x0.map((value, i) => alpha * (eps.data[i] as number) - sigma * value) };
    return { ...x, data: output[parameterization as 'eps'] };
  };
  return guidedModel({ network, schedule, parameterization, condition: {}, terms: [classifierGuidance(gradient, 2)] });
}

/** From x_T over all timesteps, as guided-diffusion spaces and ends them. */
const steps = Array.from({ length: timesteps }, (_, i) => timesteps - 1 - i).map((t) => ({
  timestep: t,
  alphaBar: schedule.alphaBarAt(t),
  alphaBarPrev: t === 0 ? 1 : schedule.alphaBarAt(t - 1),
}));

async function last(run: AsyncIterable<{ readonly latent: Latent }>): Promise<Latent> {
  let latent: Latent | undefined;
  for await (const step of run) ({ latent } = step);
  return latent as Latent;
}

test("DDIM with the term is guided-diffusion's ddim_sample with condition_score, for eps, x0 and v", async () => {
  const network = async (x: Latent, told: readonly number[]): Promise<Latent> => noiseOf(x, told[0] as number);
  const guide = (x: Latent, told: readonly number[]): Promise<Latent> =>
    gradient(x, told[0] as number).then((g) => ({ ...g, data: g.data.map((value) => 2 * value) }));
  const noise = (): Latent => float32(start.shape, new Float32Array(start.data.length));
  const run = sampleGaussian(process, network, start, { method: 'ddim', clip: false, noise, guide });
  let next = await run.next();
  while (!next.done) next = await run.next();
  for (const parameterization of ['eps', 'x0', 'v'] as const)
    assert.ok(
      maxDifference(await last(sampleDdim(guided(parameterization), start, steps)), next.value) < 2e-4,
      parameterization,
    );
});

test('in sigma space the denoised latent moves by sigma² times the gradient with respect to x', async () => {
  const sigma = schedule.sigmaOfTimestep(7);
  const x = { ...start, data: start.data.map((value) => value * sigma) };
  const plain = guidedModel({
    network: async ({ x: given, timesteps: told }) => noiseOf(given, told.data[0] as number),
    schedule,
    parameterization: 'eps',
    condition: {},
  });
  const [moved, still] = [await denoiser(guided('eps'))(x, sigma), await denoiser(plain)(x, sigma)];
  const level = schedule.alphaBarAt(7);
  const state = { ...x, data: x.data.map((value) => value * Math.sqrt(level)) };
  const { data: slope } = await gradient(state, 7);
  // d log p / dx = sqrt(alpha_bar) d log p / dx_t
  const wanted = {
    ...x,
    data: still.data.map((value, i) => value + 2 * sigma ** 2 * Math.sqrt(level) * (slope[i] as number)),
  };
  assert.ok(maxDifference(moved, wanted) < 1e-4);
});

test('a model that predicts a flow is refused', async () => {
  await assert.rejects(
    async () =>
      guidedModel({
        network: async ({ x }) => x as Latent,
        schedule,
        parameterization: 'flow' as Parameterization,
        condition: {},
        terms: [classifierGuidance(gradient, 1)],
      }).predict(start, 3),
    /cannot guide a model that predicts flow/,
  );
});

test("the classifier's gradient is that of the log-probability, by finite differences", async () => {
  const size = { channels: 3, side: 4, classes: 5 };
  await using classifier = await randomClassifier(engine, size);
  const logits = await engine.compile(traceEncoderUNet(randomClassifierConfig(size)), classifierWeights(size));
  const labels = [2, 4];
  const logProbability = async (x: Latent): Promise<number> => {
    const { out } = await logits.run({ x, timesteps: float32([2], [9, 9]) });
    return labels.reduce((sum, label, row) => {
      const own = Array.from((out as Tensor<'float32'>).data.slice(row * 5, row * 5 + 5));
      return sum + (own[label] as number) - Math.log(own.reduce((total, value) => total + Math.exp(value), 0));
    }, 0);
  };
  const { data } = await classifier.gradient(start, 9, labels);
  for (const at of [0, 17, 60]) {
    const moved = (by: number): Latent => ({
      ...start,
      data: start.data.map((value, i) => (i === at ? value + by : value)),
    });
    const slope = ((await logProbability(moved(0.02))) - (await logProbability(moved(-0.02)))) / 0.04;
    assert.ok(Math.abs(slope - (data[at] as number)) < 2e-4, `${at}: ${slope} ${data[at]}`);
  }
  await logits.dispose();
});
