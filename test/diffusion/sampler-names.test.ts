/** The names of A1111, ComfyUI and our own, and what they mean. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StableDiffusionError } from '../../src/errors.ts';
import { stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import { namedSampling, type SamplerNameOptions, samplerNames } from '../../src/diffusion/sampler-names.ts';
import { samplers } from '../../src/diffusion/samplers/index.ts';
import { sigmasOf } from '../../src/diffusion/samplers/sigma-sampler.ts';
import { sigmaSchedules } from '../../src/diffusion/sigma-schedules/index.ts';
import { maxDifference } from '../parity.ts';
import { pick } from '../tensors.ts';
import { analyticModel, bankNoise, entry, noiseBank, samplerCases } from './analytic-model.ts';

function meaning(name: string, options: SamplerNameOptions = {}): unknown[] {
  const { sampler, schedule, discardNextToLastSigma, peer } = namedSampling(name, options);
  return [sampler.name, schedule, discardNextToLastSigma, peer];
}

test('A1111 labels: Automatic is the scheduler of the sampler, and an old name may end in a scheduler', () => {
  assert.deepEqual(meaning('DPM++ 2M Karras'), ['dpmpp-2m', 'karras', false, 'a1111']);
  assert.deepEqual(meaning('DPM++ 2M'), ['dpmpp-2m', 'karras', false, 'a1111']);
  assert.deepEqual(meaning('dpm++ 2m sde heun exponential'), ['dpmpp-2m-sde-heun', 'exponential', false, 'a1111']);
  assert.deepEqual(meaning('DPM++ 3M SDE'), ['dpmpp-3m-sde', 'exponential', true, 'a1111']);
  assert.deepEqual(meaning('Euler a'), ['euler-ancestral', 'normal', false, 'a1111']);
  assert.deepEqual(meaning('EULER A'), ['euler-ancestral', 'normal', false, 'a1111']);
  assert.deepEqual(meaning('DPM2 a Karras'), ['dpm2-ancestral', 'karras', true, 'a1111']);
  assert.deepEqual(meaning('k_dpmpp_2m_ka'), ['dpmpp-2m', 'karras', false, 'a1111']);
  assert.deepEqual(meaning('k_dpmpp_3m_sde_exp'), ['dpmpp-3m-sde', 'exponential', true, 'a1111']);
  assert.deepEqual(meaning('Euler SGM Uniform'), ['euler', 'sgm_uniform', false, 'a1111']);
  assert.deepEqual(meaning('Restart'), ['restart', 'karras', false, 'a1111']);
});

test('A1111 scheduler names keep their meaning there', () => {
  assert.deepEqual(meaning('Euler a', { schedule: 'Automatic' }), ['euler-ancestral', 'normal', false, 'a1111']);
  assert.deepEqual(meaning('DPM++ 2M', { schedule: 'KL Optimal' }), ['dpmpp-2m', 'kl_optimal_to_min', false, 'a1111']);
  assert.deepEqual(meaning('DPM++ 2M', { schedule: 'Beta' }), ['dpmpp-2m', 'beta_continuous', false, 'a1111']);
  assert.deepEqual(meaning('dpmpp_2m', { schedule: 'beta' }), ['dpmpp-2m', 'beta', false, 'comfy']);
  assert.deepEqual(meaning('DPM++ 2M Karras', { schedule: 'Uniform' }), ['dpmpp-2m', 'normal', false, 'a1111']);
});

test('ComfyUI names', () => {
  assert.deepEqual(meaning('dpmpp_2m_sde_gpu', { schedule: 'karras' }), ['dpmpp-2m-sde', 'karras', false, 'comfy']);
  assert.deepEqual(meaning('dpm_2'), ['dpm2', 'normal', true, 'comfy']);
  assert.deepEqual(meaning('lms', { peer: 'comfy' }), ['lms', 'normal', false, 'comfy']);
  assert.equal(namedSampling('lms', { peer: 'comfy' }).settings.endsAtDenoised, true);
  assert.equal(namedSampling('lms', { peer: 'comfy' }).sigmaConvention, 'comfy');
  assert.deepEqual(meaning('ddim', { peer: 'comfy' }), ['euler', 'normal', false, 'comfy']);
  assert.deepEqual(meaning('ddim'), ['ddim', undefined, undefined, undefined]);
  assert.deepEqual(meaning('DDIM'), ['ddim', 'a1111', false, 'a1111']);
});

test('our own names have the defaults of the table', () => {
  for (const sampler of samplers) assert.equal(namedSampling(sampler.name).sampler, sampler);
  assert.deepEqual(meaning('euler'), ['euler', undefined, undefined, undefined]);
  assert.deepEqual(meaning('dpmpp-2m', { schedule: 'Align Your Steps' }), [
    'dpmpp-2m',
    'align_your_steps',
    undefined,
    undefined,
  ]);
  assert.deepEqual(meaning('sample_dpmpp_2m'), ['dpmpp-2m', undefined, undefined, undefined]);
  assert.deepEqual(meaning('DPMPP 2M'), ['dpmpp-2m', undefined, undefined, undefined]);
});

test('every name that is listed has a meaning, and no two samplers share one', () => {
  for (const name of samplerNames()) assert.ok(namedSampling(name).sampler, name);
  const normalised = samplers.flatMap((sampler) => [
    ...new Set(
      [sampler.name, sampler.title, ...sampler.aliases].map((name) =>
        name
          .toLowerCase()
          .replace(/\+/g, 'p')
          .replace(/[^a-z0-9]/g, ''),
      ),
    ),
  ]);
  assert.deepEqual(
    normalised.filter((name, i) => normalised.indexOf(name) !== i),
    [],
  );
});

test('a name that is not there: the error lists near ones', () => {
  const expectNear = (name: string, near: string, options?: SamplerNameOptions) =>
    assert.throws(
      () => namedSampling(name, options),
      (error: StableDiffusionError) => error.code === 'invalid-argument' && error.message.includes(near),
      name,
    );
  expectNear('DPM++ 2M Karas', 'DPM++ 2M Karras');
  expectNear('eular a', 'Euler a');
  expectNear('dpmpp_2m_sed', 'dpmpp_2m_sde');
  expectNear('Euler a', 'karras', { schedule: 'karass' });
  assert.throws(() => namedSampling(''), { code: 'invalid-argument' });
  assert.throws(() => namedSampling('x'.repeat(100_000)), { code: 'invalid-argument' });
});

test('discarding the last but one sigma asks for one more', () => {
  const model = analyticModel(stableDiffusionSchedule());
  const request = { model, steps: 10, startNoise: entry(noiseBank, 0) };
  const plain = sigmaSchedules.karras(11, model.schedule);
  assert.deepEqual(
    [...sigmasOf({ schedule: 'karras', discardsNextToLastSigma: true }, request)],
    [...plain.subarray(0, 10), 0],
  );
  assert.deepEqual(
    sigmasOf({ schedule: 'karras', discardsNextToLastSigma: true }, { ...request, discardNextToLastSigma: false }),
    sigmaSchedules.karras(10, model.schedule),
  );
});

test('a request by a ComfyUI name runs as ComfyUI does: the recorded trajectory', async () => {
  const { cases, tensors } = samplerCases('comfy/', 'comfy');
  const row = cases.find(({ id }) => id === 'comfy/euler.normal');
  const { sampler, schedule = '', sigmaConvention, settings } = namedSampling('euler', { peer: 'comfy' });
  const model = analyticModel(stableDiffusionSchedule(), 'eps', 7.5);
  const sampling = sampler.run({
    model,
    steps: 10,
    startNoise: entry(noiseBank, 0),
    schedule,
    sigmaConvention,
    settings,
  });
  let result = await sampling.next();
  while (!result.done) result = await sampling.next();
  // Twice the recorded tolerance: the levels here are of float32 alphas_cumprod, ComfyUI's of float64 ones, and guidance is on eps.
  assert.ok(maxDifference(result.value, entry(pick(tensors, 'euler.normal.x'), 10)) < 2 * Number(row?.tolerance.x));
});

test('every sampler in sigma space runs from a request, with its own schedule and a named one', async () => {
  for (const name of samplerNames()) {
    const { sampler, schedule, discardNextToLastSigma, settings } = namedSampling(name);
    if (sampler.space !== 'sigma') continue;
    const model = analyticModel(stableDiffusionSchedule());
    const sampling = sampler.run({
      model,
      steps: 6,
      startNoise: entry(noiseBank, 0),
      stepNoise: bankNoise(),
      settings,
      ...(schedule && { schedule }),
      ...(discardNextToLastSigma !== undefined && { discardNextToLastSigma }),
    });
    let result = await sampling.next();
    while (!result.done) result = await sampling.next();
    assert.ok(result.value.data.every(Number.isFinite), name);
  }
});

test('names of what every object has are no names of schedules', () => {
  for (const schedule of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    assert.throws(() => namedSampling('Euler a', { schedule, peer: 'a1111' }), { code: 'invalid-argument' });
  }
});

test('a spacing that the sampler would not read is refused, and all that there are are named', () => {
  for (const [sampler, schedule, message] of [
    ['ddim', 'nosuch', /ddim takes uniform, quad, a1111\. Samplers of sigmas.*karras.*beta/],
    ['plms', 'karras', /plms takes uniform/],
    ['unipc', 'quad', /unipc takes time_uniform, time_quadratic, logSNR/],
    ['ddpm', 'karras', /ddpm spaces its steps in one way and takes none/],
    ['lcm', 'sgm_uniform', /lcm spaces its steps/],
    ['tcd', 'simple', /tcd spaces its steps/],
    ['dpm-solver-adaptive', 'time_uniform', /dpm-solver-adaptive spaces its steps/],
  ] as const)
    assert.throws(() => namedSampling(sampler, { schedule }), { code: 'invalid-argument', message }, sampler);
  assert.equal(namedSampling('unipc', { schedule: 'logsnr' }).schedule, 'logSNR');
  assert.equal(namedSampling('ddim', { schedule: 'Quad' }).schedule, 'quad');
  assert.equal(namedSampling('lcm', { schedule: 'automatic' }).schedule, undefined);
});
