/** Schedules of sigmas: bits of k-diffusion's, beta quantiles, models of another length, names. The values are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StableDiffusionError } from '../../src/errors.ts';
import { noiseScheduleOf, stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import { betaQuantile } from '../../src/diffusion/sigma-schedules/beta-distribution.ts';
import { findSigmaSchedule, sigmaSchedule, sigmaSchedules } from '../../src/diffusion/sigma-schedules/index.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

const model = stableDiffusionSchedule();
const counts = [1, 2, 5, 10, 20, 37];

test("levels are the same to the bit as k-diffusion's, but for the last bit of a few powers and logarithms", () => {
  const tensors = readTensors(reference('diffusion/schedules/kdiffusion.safetensors'));
  const range = { sigmaMin: 0.02916753478348255, sigmaMax: 14.614642143249512 };
  for (const name of ['karras.sd.rho7', 'exponential.sd', 'polyexponential.sd.rho1'] as const) {
    const schedule = sigmaSchedule(name.split('.')[0] as string);
    const differing = counts.flatMap((n) =>
      [...schedule(n, model, range)].filter((sigma, i) => sigma !== pick(tensors, `${name}.${n}`).data[i]),
    );
    assert.ok(differing.length <= 4, `${name}: ${differing.length} of ${counts.reduce((sum, n) => sum + n, 0)} differ`);
  }
});

test('beta quantiles agree with scipy.stats.beta.ppf 1.17', () => {
  const rows: [number, number, number, number][] = [
    [0, 0.6, 0.6, 0.0],
    [0.001, 0.6, 0.6, 1.855873851745199e-5],
    [0.05, 0.6, 0.6, 0.012554456873611399],
    [0.3, 0.6, 0.6, 0.23401700387523572],
    [0.5, 0.6, 0.6, 0.5000000000000001],
    [0.77, 0.6, 0.6, 0.8461624142323502],
    [0.999, 0.6, 0.6, 0.9999814412614826],
    [1, 0.6, 0.6, 1.0],
    [0, 0.5, 0.5, 0.0],
    [0.001, 0.5, 0.5, 2.4673990709169446e-6],
    [0.05, 0.5, 0.5, 0.0061558297024311365],
    [0.3, 0.5, 0.5, 0.2061073738537634],
    [0.5, 0.5, 0.5, 0.4999999999999999],
    [0.77, 0.5, 0.5, 0.8750555348152299],
    [0.999, 0.5, 0.5, 0.999997532600929],
    [1, 0.5, 0.5, 1.0],
    [0, 1, 1, 0.0],
    [0.001, 1, 1, 0.001],
    [0.05, 1, 1, 0.05],
    [0.3, 1, 1, 0.3],
    [0.5, 1, 1, 0.5],
    [0.77, 1, 1, 0.77],
    [0.999, 1, 1, 0.999],
    [1, 1, 1, 1.0],
    [0, 2, 5, 0.0],
    [0.001, 2, 5, 0.008255492787746678],
    [0.05, 2, 5, 0.06284989170835438],
    [0.3, 2, 5, 0.18180347131894917],
    [0.5, 2, 5, 0.26444998329566005],
    [0.77, 2, 5, 0.402118402610099],
    [0.999, 2, 5, 0.818613866919134],
    [1, 2, 5, 1.0],
    [0, 0.3, 1.7, 0.0],
    [0.001, 0.3, 1.7, 5.0664653422119e-11],
    [0.05, 0.3, 1.7, 2.333156550097498e-5],
    [0.3, 0.3, 1.7, 0.009203040899900178],
    [0.5, 0.3, 1.7, 0.051697104839436736],
    [0.77, 0.3, 1.7, 0.24301655200524466],
    [0.999, 0.3, 1.7, 0.9581663118887047],
    [1, 0.3, 1.7, 1.0],
    [0, 8, 3, 0.0],
    [0.001, 8, 3, 0.2815433819575835],
    [0.05, 8, 3, 0.4930986989367976],
    [0.3, 8, 3, 0.6670331181049526],
    [0.5, 8, 3, 0.7414252767150369],
    [0.77, 8, 3, 0.831466674178452],
    [0.999, 8, 3, 0.9789620286790132],
    [1, 8, 3, 1.0],
  ];
  for (const [p, a, b, x] of rows)
    assert.ok(Math.abs(betaQuantile(p, a, b) - x) < 1e-13, `${p} ${a} ${b}: ${betaQuantile(p, a, b)} and not ${x}`);
});

test('a model of another length, and every schedule for many steps', () => {
  const short = noiseScheduleOf({ timesteps: 40, linearStart: 0.001, linearEnd: 0.2 });
  for (const [name, schedule] of Object.entries(sigmaSchedules)) {
    if (name === 'turbo') continue;
    for (const n of [1, 2, 3, 39, 40, 41, 150]) {
      const sigmas = schedule(n, short);
      assert.ok(sigmas.every(Number.isFinite), `${name} ${n}`);
      assert.ok(
        sigmas.slice(1).every((sigma, i) => sigma <= (sigmas[i] as number)),
        `${name} ${n} descends`,
      );
    }
  }
});

test('names and errors', () => {
  assert.equal(findSigmaSchedule('SGM Uniform'), 'sgm_uniform');
  assert.equal(findSigmaSchedule('SGMUniform'), 'sgm_uniform');
  assert.equal(sigmaSchedule('default'), sigmaSchedules.normal);
  assert.equal(findSigmaSchedule('none'), undefined);
  assert.throws(
    () => sigmaSchedule('karas'),
    (error: StableDiffusionError) => error.code === 'invalid-argument' && error.message.includes('karras'),
  );
  for (const steps of [0, -1, 1.5, Number.NaN])
    assert.throws(() => sigmaSchedules.karras(steps, model), { code: 'invalid-argument' });
});
