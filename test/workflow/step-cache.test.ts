/** EasyCache and LazyCache: which calls are run, and the latent at the end, as ComfyUI 0.3.64's wrappers gave for the same functions. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Denoiser } from '../../src/diffusion/denoiser.ts';
import { concatenate } from '../../src/tensor/arithmetic.ts';
import { takeBatch } from '../../src/tensor/batches.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { lazyDenoiser, NetworkCache } from '../../src/workflow/sampling/step-cache.ts';
import type { ModelSampling } from '../../src/workflow/sampling/model-sampling.ts';
import type { ModelValue } from '../../src/workflow/values/model.ts';

type Latent = Tensor<'float32'>;

/** Kind and threshold; 1 for a call that is run; the first six elements; the mean size. */
const recorded = [
  ['lazy 0.05', '11111111111111111111', [-0.900364, 1.417911, 1.33517, 1.252429, 1.169688, 1.086948], 1.134388],
  ['lazy 0.2', '11111111111101111111', [-0.833642, 1.427384, 1.331684, 1.235983, 1.140282, 1.044581], 1.104245],
  ['lazy 0.6', '11111011011100101111', [-0.522676, 1.488037, 1.329185, 1.170334, 1.011482, 0.85263], 0.978882],
  ['easy 0.05', '11111111111111111111', [-0.803291, -1.31208, -0.95638, -0.600681, -0.244981, 0.110718], 0.514169],
  ['easy 0.2', '11111101110101011111', [-0.796356, -1.321911, -0.965756, -0.609601, -0.253445, 0.10271], 0.516715],
  ['easy 0.6', '11111100101101000111', [-0.698288, -0.053238, 0.074744, 0.202726, 0.330708, 0.45869], 0.415654],
] as const;

const sigmas = [...Array.from({ length: 20 }, (_, i) => 14.6146 * (1 - i / 20) ** 2 + 0.03), 0];
const shape = [1, 4, 16, 16] as const;
const filled = (value: (i: number) => number): Latent =>
  float32(
    [...shape],
    Float32Array.from({ length: 1024 }, (_, i) => value(i)),
  );
const start = filled((i) => (((i * 37) % 256) / 128 - 1) * (sigmas[0] as number));
const bias = filled((i) => ((i * 13) % 7) / 7);
const mapped = (a: Latent, value: (one: number, i: number) => number): Latent => ({ ...a, data: a.data.map(value) });
/** From level 10 to level 0.5. */
const sampling = { percentToSigma: (share: number) => (share === 0 ? 10 : 0.5) } as ModelSampling;

async function lazy(threshold: number): Promise<readonly [string, Latent]> {
  let runs = 0;
  const plain: Denoiser = (x, sigma) => {
    runs++;
    return Promise.resolve(
      mapped(x, (value, i) => value / (1 + sigma ** 2) + (bias.data[i] as number) * Math.cos(sigma)),
    );
  };
  const denoise = lazyDenoiser(plain, { of: 'guided', threshold, start: 0, end: 1 }, sampling);
  let x = start;
  let trace = '';
  for (let i = 0; i < 20; i++) {
    const [sigma, next] = [sigmas[i] as number, sigmas[i + 1] as number];
    const before = runs;
    const { data } = await denoise(x, sigma);
    trace += runs - before;
    x = mapped(x, (value, at) => value + ((value - (data[at] as number)) / sigma) * (next - sigma));
  }
  return [trace, x];
}

const model = {
  sampling,
  label: 'tiny',
  network: { config: { in_channels: 4, out_channels: 4 } },
} as unknown as ModelValue;
const entries = [{}, {}];

async function easy(threshold: number): Promise<readonly [string, Latent]> {
  const cache = new NetworkCache({ of: 'network', threshold, start: 0, end: 1 }, model);
  let x = start;
  let trace = '';
  for (let i = 0; i < 20; i++) {
    const [sigma, next] = [sigmas[i] as number, sigmas[i + 1] as number];
    const seen = mapped(x, (value) => value / Math.sqrt(1 + sigma ** 2));
    const input = concatenate([seen, seen], 0);
    let runs = 0;
    const run = (): Promise<Latent> => {
      runs++;
      const share = (at: number): number => (at < 1024 ? 0.2 : 1) * (bias.data[at % 1024] as number) * Math.cos(sigma);
      return Promise.resolve(mapped(input, (value, at) => value * Math.tanh(sigma) + share(at)));
    };
    cache.begin();
    const [u, c] = await cache.call({ sigma, entries, input }, (batch, at) => takeBatch(batch, at, at + 1), run);
    trace += runs;
    const noise = (at: number): number => {
      const [negative, positive] = [u?.data[at] as number, c?.data[at] as number];
      return negative + (positive - negative) * 3;
    };
    x = mapped(x, (value, at) => value + noise(at) * (next - sigma));
  }
  return [trace, x];
}

test('calls are left out where the original leaves them out, with its latents', async () => {
  for (const [name, runs, first, size] of recorded) {
    const [kind, threshold] = name.split(' ');
    const [trace, { data }] = await (kind === 'lazy' ? lazy : easy)(Number(threshold));
    assert.equal(trace, runs, name);
    for (const [i, value] of first.entries())
      assert.ok(Math.abs(value - (data[i] as number)) < 2e-5, `${name}: ${data[i]}`);
    const mean = data.reduce((sum, value) => sum + Math.abs(value), 0) / data.length;
    assert.ok(Math.abs(mean - size) < 2e-5, `${name}: ${mean}`);
  }
});

test('EasyCache refuses a network that takes more than it gives', () => {
  const wide = { ...model, network: { config: { in_channels: 9, out_channels: 4 } } } as unknown as ModelValue;
  assert.throws(() => new NetworkCache({ of: 'network', threshold: 0.2, start: 0, end: 1 }, wide), {
    code: 'invalid-argument',
  });
});
