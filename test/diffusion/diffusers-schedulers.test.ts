/** diffusers' schedulers: classes and values that are refused. Their trajectories are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffusersSampler } from '../../src/diffusion/diffusers/scheduler.ts';

test('diffusers: an unknown class or value is refused', () => {
  assert.throws(() => diffusersSampler('FlowMatchEulerDiscreteScheduler'), { code: 'config-invalid' });
  assert.throws(() => diffusersSampler('DDIMScheduler', { beta_schedule: 'nonsense' }), { code: 'config-invalid' });
});
