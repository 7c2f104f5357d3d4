/** A sampler that chooses its steps itself is bounded as every other. */

import assert from 'node:assert/strict';
import test from 'node:test';
import type { JobRequest } from '../../src/server/job.ts';
import { checkSteps } from '../../src/server/run/spend.ts';
import { startTestServer } from './start.ts';

test('DPM adaptive with a large eta stops at the maximum steps of a request', async () => {
  const server = await startTestServer({ limits: { steps: 12 } });
  try {
    const body = { steps: 2, width: 64, height: 64, seed: 1, sampler_name: 'DPM adaptive', eta: 100 };
    const { status, body: answer } = await server.json('POST', '/sdapi/v1/txt2img', body);
    assert.equal(status, 413);
    assert.match(JSON.stringify(answer), /more than the 12 steps that this server allows/);
  } finally {
    await server.stop();
  }
});

test('a job with a fixed number of steps runs to its end, even if the limit is lower now', () => {
  const request = (sampler: string): Pick<JobRequest, 'sampler' | 'noise'> => ({ sampler, noise: 'a1111-cpu' });
  checkSteps(200, request('Euler a'), { maxSteps: 150 });
  checkSteps(150, request('DPM adaptive'), { maxSteps: 150 });
  assert.throws(() => checkSteps(151, request('DPM adaptive'), { maxSteps: 150 }), /150 steps/);
});
