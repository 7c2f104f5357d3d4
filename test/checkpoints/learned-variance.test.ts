/** Models that predict a variance beside the noise are refused by name, not sampled from as if they did not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertPredictsLatents } from '../../src/checkpoints/assembled-config.ts';
import type { Latent } from '../../src/diffusion/denoiser.ts';
import { diffusersSampler } from '../../src/diffusion/diffusers/scheduler.ts';
import { randomCheckpoint } from '../model/random-model.ts';
import { stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import { float32 } from '../../src/tensor/tensor.ts';

test('a UNet with twice the channels of the latents', () => {
  const { config } = randomCheckpoint(null, null);
  assertPredictsLatents(config, 'model');
  const learned = { ...config, unet_config: { ...config.unet_config, out_channels: 8 } };
  assert.throws(() => assertPredictsLatents(learned, 'model'), {
    code: 'config-invalid',
    message: /^model: the UNet returns 8 channels for latents of 4\. A learned variance is not supported/,
  });
});

test('a scheduler with a learned variance, for a network that says none', async () => {
  const sample = async (variance_type: string) => {
    const sampling = diffusersSampler('DDPMScheduler', { variance_type }).run({
      model: { schedule: stableDiffusionSchedule(), parameterization: 'eps', predict: async (x: Latent) => x },
      steps: 2,
      startNoise: float32([1, 1, 1, 1], [0.5]),
      stepNoise: { normal: (shape: readonly number[]) => float32(shape, [0]) },
    } as never);
    while (!(await sampling.next()).done);
  };
  await sample('fixed_large');
  for (const variance of ['learned', 'learned_range'])
    await assert.rejects(async () => sample(variance), {
      code: 'invalid-argument',
      message: /takes a learned variance, and the network says none/,
    });
});
