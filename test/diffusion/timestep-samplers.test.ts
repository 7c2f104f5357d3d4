/** What every sampler of the table does: text to image, image to image, inpainting, cancelling; and that names are unique. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import type { SamplerStep, SamplingRequest } from '../../src/diffusion/sampler.ts';
import { findSampler, samplers } from '../../src/diffusion/samplers/index.ts';
import { analyticModel, bankNoise, entry, noiseBank } from './analytic-model.ts';

const sd = stableDiffusionSchedule();

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
      // CFG++ at scale 2 goes far; the noise has a deviation of 14.6.
      last.latent.data.every((value) => Math.abs(value) < 10),
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
