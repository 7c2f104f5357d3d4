/** Samplers in sigma space: where they ask for noise, cancelling, refused settings. Their trajectories are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Denoiser, denoiser } from '../../src/diffusion/denoiser.ts';
import { noiseScheduleOf, stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import { sampleDpmAdaptive } from '../../src/diffusion/samplers/dpm-adaptive.ts';
import { sampleDpmpp2mSde } from '../../src/diffusion/samplers/dpmpp-2m-sde.ts';
import { sampleDpmppSde } from '../../src/diffusion/samplers/dpmpp-sde.ts';
import { sampleEuler } from '../../src/diffusion/samplers/euler.ts';
import { sampleLms } from '../../src/diffusion/samplers/lms.ts';
import { scale } from '../../src/tensor/arithmetic.ts';
import { sigmaSamplers } from '../parity/readers/sigma-samplers.ts';
import { guidedDenoiser, recordingNoise, traceSampler } from '../parity/sigma-trajectory.ts';
import { analytic, analyticModel, entry, noiseBank, samplerCases } from './analytic-model.ts';

const schedule = stableDiffusionSchedule();
const kDiffusion = samplerCases('k/', 'kdiffusion');

test("DPM++ SDE asks a Brownian path at k-diffusion's own points, to the bit but for a few", async () => {
  let asked = 0;
  let differing = 0;
  for (const row of kDiffusion.cases.filter(({ id, settings }) => id.startsWith('k/dpmpp_sde') && settings.eta !== 0)) {
    const sigmas = kDiffusion.tensors.get(`${row.id.slice(2)}.sigmas`)?.data as Float32Array;
    const { noise, queries } = recordingNoise(analytic);
    const { denoise } = guidedDenoiser(analytic, 'eps', 1, false);
    await traceSampler(denoise, (traced) =>
      sampleDpmppSde(traced, entry(noiseBank, 0), sigmas, { noise, r: row.settings.r ?? 1 / 2 }),
    );
    const wanted = row.settings.noise_queries.flat() as number[];
    const got = queries.flat();
    asked += wanted.length;
    differing += wanted.filter((sigma, i) => Math.fround(sigma) !== got[i]).length;
  }
  assert.ok(asked > 100 && differing <= asked * 0.1, `${differing} of ${asked} differ`);
});

test('every sampler: cancelled by its signal, refuses sigmas that are not numbers, and with no steps returns its start', async () => {
  const start = entry(noiseBank, 0);
  const denoise = denoiser(analyticModel(noiseScheduleOf({ linearStart: 0.00085, linearEnd: 0.012 })));
  const { noise } = recordingNoise(analytic);
  for (const [name, sample] of Object.entries(sigmaSamplers)) {
    const controller = new AbortController();
    const sampling = sample(denoise, start, [10, 5, 2, 1, 0.5, 0.2, 0], { noise, signal: controller.signal });
    assert.equal((await sampling.next()).done, false, name);
    controller.abort();
    await assert.rejects(async () => sampling.next(), { code: 'aborted' }, name);
    await assert.rejects(
      async () => sample(denoise, start, [10, Number.NaN, 0], { noise }).next(),
      { code: 'invalid-argument' },
      name,
    );
    await assert.rejects(
      async () => sample(denoise, start, [10, 0, 0], { noise }).next(),
      { code: 'invalid-argument' },
      name,
    );
    const none = await sample(denoise, start, [10], { noise }).next();
    assert.ok(none.done && none.value === start, name);
  }
});

test('DPM adaptive says which steps it accepted, and ends with as many steps as it said', async () => {
  const denoise = denoiser(analyticModel(schedule, 'eps', 3));
  const sampling = sampleDpmAdaptive(denoise, scale(entry(noiseBank, 0), 14.6), [14.6, 0.03, 0]);
  let last: Awaited<ReturnType<typeof sampling.next>>['value'] | undefined;
  let rejected = 0;
  for await (const step of sampling) {
    if (!step.accepted) rejected++;
    last = step;
  }
  assert.ok(
    last &&
      'step' in last &&
      last.step === last.steps &&
      last.acceptedSteps + last.rejectedSteps === last.step &&
      last.rejectedSteps === rejected,
  );
  const broken: Denoiser = async (x) => scale(x, Number.NaN);
  await assert.rejects(async () => sampleDpmAdaptive(broken, entry(noiseBank, 0), [10, 1, 0]).next(), {
    code: 'not-finite',
  });
  await assert.rejects(async () => sampleDpmAdaptive(denoise, entry(noiseBank, 0), [10, 1, 0], { order: 4 }).next(), {
    code: 'invalid-argument',
  });
});

test('settings that cannot be', async () => {
  const { noise } = recordingNoise(analytic);
  const start = entry(noiseBank, 0);
  const { denoise } = guidedDenoiser(analytic, 'eps', 1, false);
  await assert.rejects(async () => sampleDpmppSde(denoise, start, [10, 1, 0], { noise, r: 0 }).next(), {
    code: 'invalid-argument',
  });
  await assert.rejects(
    async () => sampleDpmpp2mSde(denoise, start, [10, 1, 0], { noise, solverType: 'huen' as 'heun' }).next(),
    { code: 'invalid-argument' },
  );
  await assert.rejects(async () => sampleLms(denoise, start, [10, 1, 0], { order: 0 }).next(), {
    code: 'invalid-argument',
  });
});

test('noise that is needed and not given is an error', async () => {
  const start = entry(noiseBank, 0);
  await assert.rejects(
    async () => sampleEuler(denoiser(analyticModel(schedule)), start, [10, 1, 0], { sChurn: 1 }).next(),
    { code: 'invalid-argument' },
  );
});
