/** The hand-over to a refiner: A1111's rule by noise and by steps, and diffusers' `denoising_end`, which is the same by noise. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiffusionModel } from '../../src/diffusion/denoiser.ts';
import { handOver, isHandedOver } from '../../src/diffusion/hand-over.ts';
import { stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import { float32 } from '../../src/tensor/tensor.ts';

const schedule = stableDiffusionSchedule();
const x = float32([1], [0]);

function model(value: number, calls: number[]): DiffusionModel {
  return {
    schedule,
    parameterization: 'eps',
    predict: async (_, timestep) => {
      calls.push(timestep);
      return float32([1], [value]);
    },
  };
}

test('diffusers: the base keeps the timesteps from round(1000 - fraction * 1000) on', () => {
  for (const fraction of [0.1, 0.25, 0.5, 0.7, 0.8, 0.95])
    for (let timestep = 0; timestep < 1000; timestep++)
      assert.equal(
        isHandedOver(schedule, { at: fraction }, timestep, 0),
        timestep < Math.round(1000 - fraction * 1000),
        `${fraction} ${timestep}`,
      );
});

test('a timestep between two counts as the one whose sigma is nearer', () => {
  assert.equal(isHandedOver(schedule, { at: 0.5 }, 499.2, 0), true);
  assert.equal(isHandedOver(schedule, { at: 0.5 }, 499.9, 0), false);
});

test('once handed over, the second model stays, and it is told of the calls before', async () => {
  const [base, refined]: [number[], number[]] = [[], []];
  let before = -1;
  const both = handOver(
    model(1, base),
    (calls) => {
      before = calls;
      return model(2, refined);
    },
    { at: 0.5 },
  );
  const outputs = [];
  for (const timestep of [900, 600, 400, 700, 100]) outputs.push((await both.predict(x, timestep)).data[0]);
  assert.deepEqual([outputs, base, refined, before], [[1, 1, 2, 2, 2], [900, 600], [400, 700, 100], 2]);
});

test("A1111's option counts the calls", async () => {
  const both = handOver(model(1, []), () => model(2, []), { at: 0.5, ofCalls: 4 });
  const outputs = [];
  for (const timestep of [400, 300, 200, 100]) outputs.push((await both.predict(x, timestep)).data[0]);
  assert.deepEqual(outputs, [1, 1, 2, 2]);
});
