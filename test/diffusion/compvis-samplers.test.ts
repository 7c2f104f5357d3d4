/** CompVis's samplers against recorded trajectories of the original code (reference diffusion/samplers, compvis/*). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blend } from '../../src/tensor/arithmetic.ts';
import { expectDType } from '../../src/tensor/tensor.ts';
import type { Latent } from '../../src/diffusion/denoiser.ts';
import { qSample } from '../../src/diffusion/inpainting.ts';
import { ddpmBuffers, noiseScheduleOf, stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import type { SamplerStep, Sampling, SamplingRequest } from '../../src/diffusion/sampler.ts';
import { findSampler } from '../../src/diffusion/samplers/index.ts';
import { stochasticEncode } from '../../src/diffusion/samplers/timestep-sampler.ts';
import { ddimTimesteps } from '../../src/diffusion/timesteps.ts';
import { compareTensor, recordParity } from '../parity.ts';
import { pick } from '../tensors.ts';
import {
  analyticModel,
  analyticOutput,
  bankNoise,
  entry,
  noiseBank,
  type RecordedCase,
  samplerCases,
  stack,
} from './analytic-model.ts';

const { cases, tensors } = samplerCases('compvis/', 'compvis');
const sd = stableDiffusionSchedule();
const x0 = expectDType(pick(tensors, 'x0'), 'float32');
const mask = expectDType(pick(tensors, 'mask'), 'float32');
const names: readonly (readonly [RegExp, string])[] = [
  [/^ddpm/, 'ddpm'],
  [/^(ddim|encode)/, 'ddim'],
  [/^plms/, 'plms'],
  [/^dpm_solver/, 'dpm-solver'],
];

async function collect(sampling: Sampling): Promise<{ steps: SamplerStep[]; result: Latent }> {
  const steps: SamplerStep[] = [];
  for (;;) {
    const next = await sampling.next();
    if (next.done) return { steps, result: next.value };
    steps.push(next.value);
  }
}

function requestOf({ id, settings }: RecordedCase) {
  const name = id.replace('compvis/', '');
  const schedule = settings.N
    ? noiseScheduleOf({ timesteps: settings.N, linearStart: settings.linear_start, linearEnd: settings.linear_end })
    : sd;
  const model = analyticModel(schedule, settings.param ?? 'eps', settings.scale ?? 1);
  const encoding = settings.t_enc !== undefined;
  const noise = bankNoise('compvis', encoding ? 2 : 1);
  const steps = settings.N ?? settings.S ?? settings.steps;
  const request: SamplingRequest = {
    model,
    steps,
    startNoise: entry(noiseBank, encoding ? 1 : 0),
    stepNoise: noise,
    ...(name.includes('mask') && { inpainting: { mask, latent: x0 } }),
    ...(encoding && { initial: x0, startStep: steps - settings.t_enc }),
    ...(settings.start_T && { startStep: settings.N - settings.start_T }),
    ...(settings.skip_type && { schedule: settings.skip_type }),
    settings: {
      ...(settings.eta && { eta: settings.eta }),
      ...(settings.temperature && { temperature: settings.temperature }),
      ...(settings.order && { order: settings.order, method: settings.method, predictX0: settings.predict_x0 }),
      ...(settings.solver_type && { solverType: settings.solver_type === 'taylor' ? 'heun' : 'midpoint' }),
    },
  };
  return { name, model, noise, request };
}

for (const row of cases) {
  const { id, settings, tolerance, reference } = row;
  const part = 'diffusion/samplers';
  const short = id.replace('compvis/', '');
  if (short === 'q_sample') continue;
  if (row.skipped) {
    test(`${id}: what the original cannot do`, async () => {
      const request = { ...requestOf({ ...row, settings: { S: 10, scale: 4 } }).request, settings: { order: 3 } };
      const { result } = await collect(findSampler('dpm-solver').run(request));
      assert.ok(result.data.every(Number.isFinite));
      recordParity({ part, case: id, output: 'x', error: 0, tolerance: 0, note: `skipped: ${row.skipped}` });
    });
    continue;
  }
  if (short.startsWith('encode_only')) {
    test(`${id}: strength 1, where the original raises`, async () => {
      const { request } = requestOf(row);
      const timesteps = ddimTimesteps('uniform', settings.S, sd.trainTimesteps);
      const x = stochasticEncode(request, x0, timesteps, settings.t_enc);
      assert.deepEqual(x, qSample(sd, x0, 999, request.startNoise));
      const { steps } = await collect(findSampler('ddim').run(request));
      assert.equal(steps.length, 10);
      recordParity({
        part,
        case: id,
        output: 'x',
        error: 0,
        tolerance: 0,
        note: `skipped: the original raises: ${settings.error}`,
      });
    });
    continue;
  }
  test(id, async () => {
    const { model, noise, request, name } = requestOf(row);
    const sampler = findSampler((names.find(([pattern]) => pattern.test(name)) as readonly [RegExp, string])[1]);
    const { steps, result } = await collect(sampler.run(request));
    const common = { part, case: id, ...(reference && { reference: `${reference.repo} ${reference.function}` }) };
    const isSolver = name.startsWith('dpm_solver');
    const start = settings.t_enc === undefined ? request.startNoise : (model.seen[0] as Latent);
    const x = isSolver ? [...model.seen, result] : [start, ...steps.map((step) => step.latent)];
    compareTensor(
      { ...common, output: 'x', tolerance: tolerance['x'] as number },
      stack(x),
      pick(tensors, `${name}.x`),
    );
    if (!isSolver)
      compareTensor(
        { ...common, output: 'pred_x0', tolerance: tolerance['pred_x0'] as number },
        stack(steps.map((step) => step.denoised)),
        pick(tensors, `${name}.pred_x0`),
      );
    // float32 logarithms of the original: its fractional timesteps agree to their last digits only.
    const differences =
      (settings.model_t as number[] | undefined)?.map((t, i) => Math.abs(t - (model.timesteps[i] as number))) ?? [];
    assert.ok(
      Math.max(0, ...differences) <= (isSolver ? 2e-4 : 0) &&
        (!settings.model_t || model.timesteps.length === settings.model_t.length),
    );
    if (settings.noise_draws !== undefined)
      assert.equal(noise.drawn + (settings.t_enc === undefined ? 0 : 1), settings.noise_draws);
    assert.deepEqual(
      steps.map((step) => step.step),
      steps.map((_, i) => i + 1),
    );
    assert.equal(result, steps.at(-1)?.latent);
  });
}

test('compvis/q_sample: q_sample, predict_start_from_noise, q_posterior', () => {
  const row = cases.find(({ id }) => id === 'compvis/q_sample') as RecordedCase;
  const tolerance = row.tolerance['abs'] as number;
  const buffers = ddpmBuffers(sd.betas);
  const rows = (row.settings.t as number[]).map((t, i) => ({ t, i }));
  const item = (value: Latent, i: number): number[] => Array.from(value.data.subarray(i * 96, (i + 1) * 96));
  const common = { part: 'diffusion/samplers', case: row.id, tolerance };
  const build = (value: (t: number, k: number, i: number) => number): Latent => ({
    ...x0,
    data: Float32Array.from(rows.flatMap(({ t, i }) => item(x0, i).map((_, k) => value(t, k, i)))),
  });
  const [b3, b4, b5] = [3, 4, 5].map((k) => entry(noiseBank, k)) as [Latent, Latent, Latent];
  const sampled = rows.map(({ t }) => qSample(sd, x0, t, b3));
  compareTensor(
    { ...common, output: 'q_sample' },
    build((_, k, i) => item(sampled[i] as Latent, i)[k] as number),
    pick(tensors, 'q_sample'),
  );
  compareTensor(
    { ...common, output: 'predict_start_from_noise' },
    build(
      (t, k, i) =>
        (buffers.sqrt_recip_alphas_cumprod[t] as number) * (item(b4, i)[k] as number) -
        (buffers.sqrt_recipm1_alphas_cumprod[t] as number) * (item(b5, i)[k] as number),
    ),
    pick(tensors, 'predict_start_from_noise'),
  );
  compareTensor(
    { ...common, output: 'q_posterior.mean' },
    build(
      (t, k, i) =>
        (buffers.posterior_mean_coef1[t] as number) * (item(x0, i)[k] as number) +
        (buffers.posterior_mean_coef2[t] as number) * (item(b4, i)[k] as number),
    ),
    pick(tensors, 'q_posterior.mean'),
  );
  for (const name of ['variance', 'log_variance_clipped'] as const) {
    const got = Float32Array.from(rows, ({ t }) => buffers[`posterior_${name}`][t] as number);
    const want = pick(tensors, `q_posterior.${name}`);
    const relative =
      (row.tolerance['rel'] as number) * Math.max(...Array.from(expectDType(want, 'float32').data, Math.abs));
    compareTensor(
      { ...common, output: `q_posterior.${name}`, tolerance: tolerance + relative },
      { dtype: 'float32', shape: [2, 1, 1, 1], data: got },
      want,
    );
  }
});

test('analytic_model: the model of these tests is that of the recorded runs', () => {
  const { tensors: checks } = samplerCases('analytic', 'model_check');
  const x = pick(checks, 'x');
  for (const [k, t] of [3, 481.25, 996].entries()) {
    for (const kind of ['eps', 'v', 'x0'] as const) {
      for (const [which, conditions] of [
        ['cond', [1, 2]],
        ['uncond', [0, 0]],
      ] as const) {
        const got = analyticOutput(sd, kind, entry(x, k), t, conditions);
        compareTensor(
          { part: 'diffusion/samplers', case: 'analytic_model', output: `${k}.${kind}.${which}`, tolerance: 2e-6 },
          got,
          pick(checks, `${k}.${kind}.${which}`),
        );
      }
    }
  }
});

test('masked blending: 1 keeps the known latent', () => {
  const kept = blend(
    { dtype: 'float32', shape: [1, 1, 1, 2], data: Float32Array.of(1, 0) },
    { dtype: 'float32', shape: [1, 2, 1, 2], data: Float32Array.of(1, 2, 3, 4) },
    { dtype: 'float32', shape: [1, 2, 1, 2], data: Float32Array.of(5, 6, 7, 8) },
  );
  assert.deepEqual([...kept.data], [1, 6, 3, 8]);
});
