/** Conditions, classifier-free guidance and inpainting by blending, on networks that are formulas. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { denoiser, type Latent, noisePredictor } from '../../src/diffusion/denoiser.ts';
import {
  type Condition,
  guide,
  guideByImage,
  guidedModel,
  type Network,
  type DenoiserInputs,
  rescaleGuided,
} from '../../src/diffusion/guidance.ts';
import { inBatchesOf } from '../../src/diffusion/network-batches.ts';
import { keepAtTimestep, keepDenoised, keepPredicted, qSample } from '../../src/diffusion/inpainting.ts';
import { stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import { predictionOf, target, toX0 } from '../../src/diffusion/parameterization.ts';
import { dynamicThreshold } from '../../src/diffusion/thresholding.ts';
import { float32, int64, type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { maxDifference } from '../parity.ts';
import { analyticModel, analyticOutput, entry, noiseBank } from './analytic-model.ts';

const sd = stableDiffusionSchedule();
const x = entry(noiseBank, 0);

/** The analytic model as a network: its context is the number of the condition. Keeps what it was given. */
function analyticNetwork() {
  const calls: DenoiserInputs[] = [];
  const network: Network = async (inputs) => {
    calls.push(inputs);
    return analyticOutput(
      sd,
      'eps',
      inputs.x,
      inputs.timesteps.data[0] as number,
      Array.from((inputs['context']?.data ?? []) as ArrayLike<number>),
    );
  };
  return { network, calls };
}

const common = { schedule: sd, parameterization: 'eps' } as const;
const condition: Condition = { context: float32([2, 1, 1], [1, 2]) };
const unconditional: Condition = { context: float32([1, 1, 1], [0]) };

test('one batch [unconditional, conditional], equal to the recorded model', async () => {
  const want = await analyticModel(sd, 'eps', 7.5).predict(x, 481.25);
  const { network, calls } = analyticNetwork();
  const model = guidedModel({ ...common, network, condition, unconditional, scale: 7.5 });
  assert.equal(maxDifference(await model.predict(x, 481.25), want), 0);
  assert.equal(calls.length, 1);
  assert.deepEqual(calls[0]?.x.shape, [4, 4, 6, 4]);
  assert.deepEqual([...(calls[0]?.context?.data ?? [])], [0, 0, 1, 2]);
  assert.deepEqual([...(calls[0]?.timesteps.data ?? [])], [481.25, 481.25, 481.25, 481.25]);
});

test('a network run on few pictures at a time gives the same', async () => {
  const want = await analyticModel(sd, 'eps', 7.5).predict(x, 481.25);
  for (const [most, runs] of [
    [1, [1, 1, 1, 1]],
    [3, [3, 1]],
    [4, [4]],
  ] as const) {
    const { network, calls } = analyticNetwork();
    const model = guidedModel({ ...common, condition, unconditional, scale: 7.5, network: inBatchesOf(most, network) });
    assert.equal(maxDifference(await model.predict(x, 481.25), want), 0);
    assert.deepEqual(
      calls.map((call) => call.x.shape[0]),
      runs,
    );
  }
  const seen: unknown[] = [];
  const classes: Network = async (inputs) => {
    seen.push(...(inputs.y?.data ?? []));
    return inputs.x;
  };
  await inBatchesOf(1, classes)({ x, timesteps: float32([2], [1, 1]), y: int64([2], [7, 8]) });
  assert.deepEqual(seen, [7n, 8n]);
});

test('scale 1, or no unconditional condition: one pass', async () => {
  for (const options of [{ scale: 1, unconditional }, { scale: 7.5 }]) {
    const { network, calls } = analyticNetwork();
    await guidedModel({ ...common, network, condition, ...options }).predict(x, 3);
    assert.deepEqual(
      calls.map((call) => call.x.shape[0]),
      [2],
    );
  }
});

test('conditions of other lengths are run apart; wrong batches and scales are refused', async () => {
  const { network, calls } = analyticNetwork();
  const long: Condition = { context: float32([2, 2, 1], [0, 0, 0, 0]) };
  await guidedModel({ ...common, network, condition, unconditional: long, scale: 2 }).predict(x, 3);
  assert.deepEqual(
    calls.map((call) => call.context?.shape),
    [
      [2, 2, 1],
      [2, 1, 1],
    ],
  );
  const three = guidedModel({ ...common, network, condition: { context: float32([3, 1, 1], [0, 0, 0]) } });
  await assert.rejects(three.predict(x, 3), { code: 'shape-mismatch' });
  assert.throws(() => guidedModel({ ...common, network, condition, scale: Number.NaN }), { code: 'invalid-argument' });
});

test('concat and y: channels behind x, labels as y (hybrid inpainting, class conditions)', async () => {
  const calls: DenoiserInputs[] = [];
  const network: Network = async (inputs) => {
    calls.push(inputs);
    return zeros('float32', [inputs.x.shape[0] as number, 4, 6, 4]);
  };
  const concat = { ...x, shape: [1, 5, 6, 4], data: new Float32Array(120).fill(3) };
  await guidedModel({
    ...common,
    network,
    condition: { concat, y: int64([2], [7, 8]) },
    unconditional: { concat, y: int64([1], [1000]) },
    scale: 3,
  }).predict(x, 10);
  assert.deepEqual(calls[0]?.x.shape, [4, 9, 6, 4]);
  assert.equal(calls[0]?.x.data[0], x.data[0]);
  assert.equal(calls[0]?.x.data[96], 3);
  assert.deepEqual([...(calls[0]?.y?.data ?? [])], [1000n, 1000n, 7n, 8n]);
});

test('InstructPix2Pix: three passes and two scales', async () => {
  const orders: number[][] = [];
  const network: Network = async ({ context }) => {
    const numbers = Array.from((context?.data ?? []) as ArrayLike<number>);
    orders.push(numbers);
    return float32(
      [numbers.length, 4, 6, 4],
      numbers.flatMap((value) => new Array<number>(96).fill(value)),
    );
  };
  const one = (value: number): Condition => ({ context: float32([1, 1, 1], [value]) });
  const model = guidedModel({
    ...common,
    network,
    condition: one(5),
    unconditional: one(3),
    imageUnconditional: one(2),
    scale: 7,
    imageScale: 1.5,
  });
  const out = await model.predict(x, 10);
  assert.deepEqual(orders, [[5, 5, 3, 3, 2, 2]]);
  assert.equal(out.data[0], 2 + 7 * (5 - 3) + 1.5 * (3 - 2));
});

test('guide, guideByImage and rescaleGuided', () => {
  const [u, c, m] = [1, 2, 3].map((k) => entry(noiseBank, k)) as [Latent, Latent, Latent];
  assert.ok(maxDifference(guide(u, c, 1), c) < 1e-6);
  assert.equal(maxDifference(guide(u, c, 0), u), 0);
  assert.ok(maxDifference(guideByImage(u, m, c, 1, 1), c) < 1e-6);
  const guided = guide(u, c, 7.5);
  const deviation = (value: Latent) => {
    const item = Array.from(value.data.subarray(0, 96));
    const mean = item.reduce((a, b) => a + b, 0) / 96;
    return Math.sqrt(item.reduce((sum, v) => sum + (v - mean) ** 2 / 95, 0));
  };
  assert.ok(Math.abs(deviation(rescaleGuided(guided, c, 1)) - deviation(c)) < 1e-5);
  assert.equal(maxDifference(rescaleGuided(guided, c, 0), guided), 0);
});

test('parameterisations: what a network should say is what its output is taken to mean', () => {
  const [x0, eps] = [entry(noiseBank, 1), entry(noiseBank, 2)];
  for (const timestep of [3, 500, 990]) {
    const alphaBar = sd.alphaBarAt(timestep);
    const noisy = qSample(sd, x0, timestep, eps);
    for (const kind of ['eps', 'v', 'x0'] as const) {
      const meant = predictionOf(kind, target(kind, x0, eps, alphaBar), noisy, alphaBar);
      const scale = kind === 'eps' ? 1 / Math.sqrt(alphaBar) : kind === 'x0' ? 1 / Math.sqrt(1 - alphaBar) : 1;
      assert.ok(
        maxDifference(meant.x0, x0) < 2e-6 * scale && maxDifference(meant.eps, eps) < 2e-6 * scale,
        `${kind} at ${timestep}`,
      );
    }
  }
});

test('denoiser and noisePredictor: the same model in both spaces, for every parameterisation', async () => {
  for (const kind of ['eps', 'v', 'x0'] as const) {
    const model = analyticModel(sd, kind, 1);
    const sigma = sd.sigmaOfTimestep(500);
    const alphaBar = sd.alphaBarAt(500);
    const large = { ...x, data: x.data.map((value) => value * sigma) };
    const denoised = await denoiser(model)(large, sigma);
    const small = { ...x, data: large.data.map((value) => value * Math.sqrt(alphaBar)) };
    const fromEps = toX0('eps', await noisePredictor(model)(small, 500), small, alphaBar);
    assert.ok(maxDifference(denoised, fromEps) < 1e-5, kind);
  }
});

test('inpainting: the kept part is exact in every view', async () => {
  const latent = entry(noiseBank, 5);
  const noise = entry(noiseBank, 6);
  const mask: Tensor<'float32'> = { dtype: 'float32', shape: [1, 1, 6, 4], data: new Float32Array(24).fill(1, 0, 12) };
  const kept = { mask, latent };
  const checkKept = (got: typeof x, want: typeof x, limit: number) => {
    for (let i = 0; i < got.data.length; i++)
      if (i % 24 < 12) assert.ok(Math.abs((got.data[i] as number) - (want.data[i] as number)) <= limit);
  };
  const model = analyticModel(sd, 'eps', 1);
  checkKept(keepAtTimestep(sd, kept, x, 500, noise), qSample(sd, latent, 500, noise), 0);
  checkKept(await keepDenoised(denoiser(model), kept, noise)(x, 1.5), latent, 0);
  for (const kind of ['eps', 'v', 'x0'] as const) {
    const output = await keepPredicted(analyticModel(sd, kind, 1), kept, noise).predict(x, 500);
    checkKept(toX0(kind, output, x, sd.alphaBarAt(500)), latent, 1e-5);
  }
  const wrong: Tensor<'float32'> = { dtype: 'float32', shape: [1, 1, 3, 4], data: new Float32Array(12) };
  assert.throws(() => keepAtTimestep(sd, { mask: wrong, latent }, x, 500, noise), { code: 'shape-mismatch' });
});

test('dynamic thresholding: within the quantile and divided by it', () => {
  const value = float32([1, 1, 1, 5], [-4, -1, 0.5, 1, 2]);
  assert.deepEqual([...dynamicThreshold(value, 1, 2).data], [-1, -0.5, 0.25, 0.5, 1]);
  assert.deepEqual([...dynamicThreshold(value, 0, 2).data], [-1, -1, 0.5, 1, 1]);
});
