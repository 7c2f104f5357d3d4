/** Noise schedules and DDIM timesteps: between timesteps, where the original raises, refused settings. The values are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { betaSchedule, diffusersBetas } from '../../src/diffusion/beta-schedule.ts';
import { noiseSchedule, noiseScheduleOf, stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import { ddimTimesteps } from '../../src/diffusion/timesteps.ts';
import { reference } from '../reference.ts';

interface DdimRow {
  readonly method: 'uniform' | 'quad';
  readonly S: number;
  readonly timesteps: readonly number[];
  readonly error?: string;
}
const ddim: { rows: readonly DdimRow[]; uniform_S_whose_last_timestep_is_1000_and_raises: readonly number[] } =
  JSON.parse(readFileSync(reference('diffusion/schedules/ddim.json'), 'utf8'));

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
