/**
 * A1111's timestep samplers (DDIM, PLMS, UniPC) and its LCM denoiser, by the samplers that CompVis's form shares, on the analytic model;
 * and what every sampler of the table must do.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import type { SamplerStep, SamplingRequest } from '../../src/diffusion/sampler.ts';
import { findSampler, samplers } from '../../src/diffusion/samplers/index.ts';
import { distilledSchedule, lcmDenoiser } from '../../src/diffusion/samplers/lcm.ts';
import type { UniPcStep } from '../../src/diffusion/samplers/unipc.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { scale } from '../../src/tensor/arithmetic.ts';
import { compareTensor, recordParity } from '../parity.ts';
import { pick } from '../tensors.ts';
import { analyticModel, bankNoise, entry, noiseBank, samplerCases, stack } from './analytic-model.ts';

const part = 'diffusion/samplers';
const sd = stableDiffusionSchedule();
const { cases, tensors } = samplerCases('k/', 'kdiffusion');

for (const { id, settings, tolerance, reference, skipped } of cases.filter((row) => row.id.startsWith('k/a1111_'))) {
  const name = id.slice(2);
  if (skipped || name.includes('cfgpp')) {
    test(`${id}: left out`, () =>
      recordParity({
        part,
        case: id,
        output: 'x',
        error: 0,
        tolerance: 0,
        note: `skipped: ${skipped ?? 'CFG++ needs the unconditional prediction apart'}`,
      }));
    continue;
  }
  test(`${id}: ${reference?.function}`, async () => {
    const kind = name.split('_')[1] as string;
    const model = analyticModel(sd, 'eps', settings.scale);
    const noise = bankNoise('a1111-cpu');
    const { variant, order, skip, eta } = settings;
    const request: SamplingRequest = {
      model,
      steps: kind === 'unipc' ? settings.timesteps.length : settings.steps,
      startNoise: entry(noiseBank, 0),
      stepNoise: noise,
      schedule: kind === 'unipc' ? (skip ?? 'time_uniform') : 'a1111',
      settings: { ...(variant && { variant }), ...(order && { order }), ...(eta && { eta }) },
    };
    const steps: SamplerStep[] = [];
    for await (const step of findSampler(kind).run(request)) steps.push(step);
    const after = steps.map((step) => step.latent);
    const wantX = pick(tensors, `${name}.x`);
    const common = { part, case: id, ...(reference && { reference: `${reference.repo} ${reference.function}` }) };
    // UniPC's callback is given the corrected states, and the last, which has no corrector.
    const states =
      kind === 'unipc' ? [...steps.slice(1).map((step) => (step as UniPcStep).corrected), ...after.slice(-1)] : after;
    const x = [request.startNoise, ...states, ...after.slice(-1)];
    compareTensor({ ...common, output: 'x', tolerance: tolerance['x'] as number }, stack(x), wantX);
    const denoised = pick(tensors, `${name}.denoised`);
    compareTensor(
      { ...common, output: 'denoised', tolerance: tolerance['denoised'] as number },
      stack(steps.slice(-(denoised.shape[0] as number)).map((step) => step.denoised)),
      denoised,
    );
    for (const [i, t] of (settings.model_t as number[]).entries())
      assert.ok(Math.abs(t - (model.timesteps[i] as number)) < 2e-4, `timestep ${i}`);
  });
}

test('k/lcm_denoiser: LCMCompVisDenoiser', async () => {
  const row = cases.find(({ id }) => id === 'k/lcm_denoiser');
  const compare = (output: string, got: number[] | Float32Array, tolerance = row?.tolerance['abs'] as number) =>
    compareTensor(
      { part, case: 'k/lcm_denoiser', output, tolerance },
      float32([got.length], got),
      pick(tensors, `lcm_denoiser.${output}`),
    );
  const distilled = distilledSchedule(sd);
  compare('sigmas', distilled.schedule.sigmas);
  const sigmas = Array.from(pick(tensors, 'lcm_denoiser.sigma').data, Number);
  compare('sigma_to_t', sigmas.map(distilled.timestepOfSigma), 0);
  compare('t_to_sigma', [19, 39, 500, 999, 0, 777].map(distilled.sigmaOfTimestep));
  const denoise = lcmDenoiser(analyticModel(sd));
  const out = await Promise.all(sigmas.map((sigma) => denoise(scale(entry(noiseBank, 0), sigma), sigma)));
  compareTensor(
    { part, case: 'k/lcm_denoiser', output: 'out', tolerance: 2e-4 },
    stack(out),
    pick(tensors, 'lcm_denoiser.out'),
  );
});

test('samplers: names and aliases are unique, and each is found by all of its own', () => {
  for (const sampler of samplers)
    for (const name of [sampler.name, sampler.title, ...sampler.aliases])
      assert.equal(findSampler(name), sampler, name);
  assert.throws(() => findSampler('no such sampler'), { code: 'invalid-argument' });
});

const latent = entry(noiseBank, 10);
for (const sampler of samplers) {
  const request = (): SamplingRequest => ({
    model: analyticModel(sd, 'eps', 2),
    steps: 6,
    startNoise: entry(noiseBank, 0),
    stepNoise: bankNoise(),
  });

  test(`${sampler.name}: text to image, image to image, inpainting, cancelling`, async () => {
    const run = async (more: Partial<SamplingRequest> = {}) => {
      const steps: SamplerStep[] = [];
      for await (const step of sampler.run({ ...request(), ...more })) steps.push(step);
      return steps;
    };
    const whole = await run();
    const last = whole.at(-1) as SamplerStep;
    assert.ok(
      last.latent.data.every((value) => Math.abs(value) < 5),
      'a latent of the data, not noise',
    );
    assert.deepEqual(last.latent.shape, latent.shape);

    const part = await run({ initial: latent, startStep: 3 });
    assert.ok(
      part.length > 0 && (part.length < whole.length || sampler.name === 'dpm-adaptive'),
      `${part.length} of ${whole.length} steps`,
    );
    assert.ok((part[0] as SamplerStep).sigma < (whole[0] as SamplerStep).sigma);

    const half = {
      ...latent,
      shape: [1, 1, 6, 4],
      data: Float32Array.from({ length: 24 }, (_, i) => (i < 12 ? 1 : 0)),
    };
    const painted = (await run({ inpainting: { mask: half, latent } })).at(-1) as SamplerStep;
    for (let i = 0; i < latent.data.length; i++) {
      if (i % 24 < 12)
        assert.ok(Math.abs((painted.denoised.data[i] as number) - (latent.data[i] as number)) < 4, 'the kept part');
    }

    const controller = new AbortController();
    const sampling = sampler.run({ ...request(), signal: controller.signal });
    await sampling.next();
    controller.abort();
    await assert.rejects(
      async () => {
        for await (const _ of sampling);
      },
      { code: 'aborted' },
    );
    await assert.rejects(async () => sampler.run({ ...request(), steps: 0 }).next(), { code: 'invalid-argument' });
  });
}
