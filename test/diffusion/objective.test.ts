/** Objectives: every one of them says the same of a clean latent and its noise, in sampling and in training. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schedulerParams } from '../../src/config/diffusers-scheduler.ts';
import { diffusionParamsSchema } from '../../src/config/latent-diffusion-config.ts';
import type { DiffusionModel } from '../../src/diffusion/denoiser.ts';
import { denoiser } from '../../src/diffusion/denoiser.ts';
import { scheduleOf } from '../../src/diffusion/model-schedule.ts';
import { stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import { objectives, parameterizations } from '../../src/diffusion/objective.ts';
import { predictionOf, target } from '../../src/diffusion/parameterization.ts';
import { findSampler } from '../../src/diffusion/samplers/index.ts';
import { ddpm } from '../../src/diffusion/samplers/ddpm.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { linearCombination } from '../../src/tensor/arithmetic.ts';
import { maxDifference } from '../parity.ts';

const schedule = stableDiffusionSchedule();
const generator = new TorchGenerator(1);
const x0 = generator.randn([2, 3, 4, 4]);
const eps = generator.randn([2, 3, 4, 4]);

test('what a perfect network says means the clean latent and the noise that x was made of', () => {
  for (const kind of parameterizations) {
    for (const alphaBar of [0.9, 0.5, 0.01]) {
      const [a, s] = [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)];
      const x = linearCombination([a, x0], [s, eps]);
      const meant = predictionOf(kind, target(kind, x0, eps, alphaBar), x, alphaBar);
      assert.ok(maxDifference(meant.x0, x0) < 1e-5 / a, `${kind} x0`);
      assert.ok(maxDifference(meant.eps, eps) < 1e-5 / s, `${kind} eps`);
    }
  }
});

test('flow: the network sees the straight line from picture to noise and says its direction', () => {
  const t = 0.3;
  const [a, s] = [0.7 / Math.hypot(0.7, t), t / Math.hypot(0.7, t)];
  const seen = objectives.flow.noising(a, s);
  assert.ok(Math.abs(seen * a - 0.7) < 1e-12 && Math.abs(seen * s - t) < 1e-12);
  assert.deepEqual(target('flow', x0, eps, a * a), linearCombination([-1, x0], [1, eps]));
});

test('samplers of both spaces come to the same picture whatever a perfect network predicts', async () => {
  for (const name of ['ddim', 'euler', 'dpm-solver']) {
    const results = [];
    for (const kind of parameterizations) {
      const model: DiffusionModel = {
        schedule,
        parameterization: kind,
        // The network that knows the one picture of its data.
        async predict(x, timestep) {
          const alphaBar = schedule.alphaBarAt(timestep);
          const s = Math.sqrt(1 - alphaBar);
          return target(kind, x0, linearCombination([1 / s, x], [-Math.sqrt(alphaBar) / s, x0]), alphaBar);
        },
      };
      const sampling = findSampler(name).run({ model, steps: 5, startNoise: eps });
      let next = await sampling.next();
      while (!next.done) next = await sampling.next();
      results.push(next.value);
      assert.ok(maxDifference(await denoiser(model)(eps, 3), x0) < 1e-3, kind);
    }
    for (const result of results) assert.ok(maxDifference(result, results[0] as (typeof results)[number]) < 1e-3, name);
  }
});

test('a scheduler_config.json with rescale_betas_zero_snr opens, and its last timestep has no signal', () => {
  const params = diffusionParamsSchema.parse(
    schedulerParams(
      { beta_schedule: 'scaled_linear', beta_start: 0.00085, beta_end: 0.012, rescale_betas_zero_snr: true },
      'a scheduler',
    ),
  );
  const rescaled = scheduleOf(params);
  assert.ok(rescaled.alphaBarAt(999) < 1e-7 && rescaled.alphaBarAt(999) > 0);
  assert.ok(schedule.alphaBarAt(999) > 0.004);
  assert.ok(Math.abs(rescaled.alphaBarAt(0) - schedule.alphaBarAt(0)) < 1e-6);
});

test('v_posterior of a configuration is the variance of ancestral sampling', async () => {
  const draws = generator.randn([2, 3, 4, 4]);
  const run = async (v_posterior: number) => {
    const params = diffusionParamsSchema.parse({ timesteps: 4, linear_start: 0.1, linear_end: 0.3, v_posterior });
    const model: DiffusionModel = {
      schedule: scheduleOf(params),
      parameterization: 'x0',
      predict: async () => x0,
    };
    const stepNoise = { convention: 'compvis' as const, normal: () => draws };
    const first = await ddpm.run({ model, steps: 4, startNoise: eps, stepNoise: stepNoise as never }).next();
    assert.ok(!first.done);
    return first.value.latent;
  };
  const schedule4 = scheduleOf(diffusionParamsSchema.parse({ timesteps: 4, linear_start: 0.1, linear_end: 0.3 }));
  const beta = schedule4.betas[3] as number;
  const small = beta * ((1 - schedule4.alphaBarAt(2)) / (1 - schedule4.alphaBarAt(3)));
  const difference = linearCombination([1, await run(1)], [-1, await run(0)]);
  const want = linearCombination([Math.sqrt(beta) - Math.sqrt(small), draws]);
  assert.ok(maxDifference(difference, want) < 1e-5);
});
