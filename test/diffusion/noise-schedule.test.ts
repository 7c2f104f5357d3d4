/** Noise schedules and DDIM timesteps against CompVis's (reference diffusion/schedules: betas, ddpm_buffers, ddim). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { betaSchedule, diffusersBetas } from '../../src/diffusion/beta-schedule.ts';
import {
  alphasCumprodOf,
  ddpmBuffers,
  noiseSchedule,
  noiseScheduleOf,
  stableDiffusionSchedule,
} from '../../src/diffusion/noise-schedule.ts';
import { ddimSigma, ddimSteps, ddimTimesteps } from '../../src/diffusion/timesteps.ts';
import { recordParity } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';
import { type RecordedCase, recordedCases } from './analytic-model.ts';

const part = 'diffusion/schedules';
const caseOf = (id: string) => recordedCases.find((row) => row.part === 'schedules' && row.id === id) as RecordedCase;

/** Largest difference in units of the tolerance: |got - want| / (absolute + relative |want|). */
function excess(got: ArrayLike<number>, want: ArrayLike<number | bigint>, absolute: number, relative: number): number {
  assert.equal(got.length, want.length);
  return Math.max(
    ...Array.from(
      got,
      (value, i) => Math.abs(value - Number(want[i])) / (absolute + relative * Math.abs(Number(want[i]))),
    ),
  );
}

test('betas: make_beta_schedule and its cumulative product', () => {
  const stored = readTensors(reference('diffusion/schedules/betas.safetensors'));
  const { settings, tolerance } = caseOf('betas');
  for (const { index, schedule, n_timestep, linear_start, linear_end, cosine_s } of settings) {
    const betas = betaSchedule(schedule, n_timestep, {
      linearStart: linear_start,
      linearEnd: linear_end,
      cosineS: cosine_s,
    });
    for (const [name, got] of [
      ['betas', betas],
      ['alphas_cumprod', alphasCumprodOf(betas)],
    ] as const) {
      const error = excess(
        got,
        pick(stored, `${index}.${name}`).data,
        tolerance['abs'] as number,
        tolerance['rel'] as number,
      );
      recordParity({
        part,
        case: 'betas',
        output: `${index} ${schedule} ${name} (of the tolerance)`,
        error,
        tolerance: 1,
      });
    }
  }
});

test('ddpm_buffers: DDPM.register_schedule', () => {
  const stored = readTensors(reference('diffusion/schedules/ddpm_buffers.safetensors'));
  const { settings, tolerance } = caseOf('ddpm_buffers');
  for (const { index, beta_schedule, timesteps, linear_start, linear_end, v_posterior } of settings) {
    const betas = betaSchedule(beta_schedule, timesteps, { linearStart: linear_start, linearEnd: linear_end });
    for (const [name, got] of Object.entries(ddpmBuffers(betas, { vPosterior: v_posterior }))) {
      const relative = (name === 'lvlb_weights' ? tolerance['lvlb_weights_rel'] : tolerance['rel']) as number;
      const error = excess(got, pick(stored, `${index}.${name}`).data, 1e-30, relative);
      recordParity({ part, case: 'ddpm_buffers', output: `${index} ${name} (of the tolerance)`, error, tolerance: 1 });
    }
  }
});

interface DdimRow {
  readonly method: 'uniform' | 'quad';
  readonly S: number;
  readonly timesteps: readonly number[];
  readonly error?: string;
}
const ddim: { rows: readonly DdimRow[]; uniform_S_whose_last_timestep_is_1000_and_raises: readonly number[] } =
  JSON.parse(readFileSync(reference('diffusion/schedules/ddim.json'), 'utf8'));

test('ddim_parameters: make_ddim_timesteps and make_ddim_sampling_parameters', () => {
  const stored = readTensors(reference('diffusion/schedules/ddim.safetensors'));
  const sd = stableDiffusionSchedule();
  const tolerance = caseOf('ddim_parameters').tolerance['abs'] as number;
  for (const { method, S, timesteps, error } of ddim.rows) {
    const got = ddimTimesteps(method, S, 1000);
    // Where the original raises, the timestep beyond its table is left out.
    const wrong =
      got.filter((t, i) => t !== timesteps[i]).length + Math.abs(got.length - timesteps.filter((t) => t < 1000).length);
    recordParity({
      part,
      case: 'ddim_parameters',
      output: `${method} ${S} timesteps (wrong ones)`,
      error: wrong,
      tolerance: 0,
      ...(error && { note: `the original raises: ${error}` }),
    });
    if (error) continue;
    const steps = ddimSteps(sd, got).reverse();
    const compare = (name: string, values: number[]) => {
      const want = pick(stored, `${method}.${S}.${name}`).data;
      recordParity({
        part,
        case: 'ddim_parameters',
        output: `${method} ${S} ${name}`,
        error: excess(values, want, 1, 0),
        tolerance,
      });
    };
    compare(
      'alphas_prev',
      steps.map((step) => step.alphaBarPrev),
    );
    for (const eta of [0, 0.5, 1])
      compare(
        `eta${eta}.sigmas`,
        steps.map((step) => ddimSigma(step, eta)),
      );
  }
});

test('DDIM timesteps: where the original raises there are steps, all of them trained ones', () => {
  for (const steps of ddim.uniform_S_whose_last_timestep_is_1000_and_raises) {
    const timesteps = ddimTimesteps('uniform', steps, 1000);
    assert.ok(timesteps.length > 0 && timesteps.every((t) => t >= 1 && t <= 999), `${steps} steps`);
  }
  assert.deepEqual(ddimTimesteps('uniform', 3, 1000), [1, 334, 667]);
  assert.equal(ddimTimesteps('uniform', 5000, 1000).length, 999);
  assert.throws(() => ddimTimesteps('uniform', 0, 1000), { code: 'invalid-argument' });
});

test('a schedule leads from timesteps to sigmas and back, between timesteps too', () => {
  const sd = stableDiffusionSchedule();
  for (const t of [0, 0.25, 1, 17.5, 500, 998.9, 999])
    assert.ok(Math.abs(sd.timestepOfSigma(sd.sigmaOfTimestep(t)) - t) < 1e-2, `${t}`);
  for (const t of [0, 3, 481, 999]) assert.equal(sd.timestepOfSigma(sd.sigmaOfTimestep(t), true), t);
  assert.equal(sd.timestepOfSigma(1000), 999);
  assert.equal(sd.timestepOfSigma(1e-6), 0);
  assert.equal(sd.alphaBarAt(-5), sd.alphasCumprod[0]);
  const clipped = noiseSchedule(Float32Array.of(0.9, 0.5, 0));
  assert.equal(clipped.sigmaOfTimestep(2), Number.POSITIVE_INFINITY);
  assert.equal(clipped.timestepOfSigma(1e9), 1);
});

test('schedules that cannot be are refused', () => {
  for (const timesteps of [0, -1, 1.5, 1e9, Number.NaN])
    assert.throws(() => betaSchedule('linear', timesteps), { code: 'config-invalid' });
  // @ts-expect-error: a name that is not one
  assert.throws(() => betaSchedule('nonsense', 10), { code: 'config-invalid' });
  assert.throws(() => diffusersBetas('nonsense', 10, 0.1, 0.2), { code: 'config-invalid' });
  assert.equal(noiseScheduleOf({ betaSchedule: 'cosine', timesteps: 20 }).trainTimesteps, 20);
});
