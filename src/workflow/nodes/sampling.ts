/** KSampler. */

import { highestSeed } from '../seeds.ts';
import { defineNode, type NodeType } from '../definition.ts';
import { samplerNames, schedulerNames } from '../sampling/names.ts';
import { kSample } from '../sampling/k-sample.ts';

const kSamplerNode = defineNode({
  name: 'KSampler',
  displayName: 'KSampler',
  category: 'sampling',
  module: 'nodes',
  required: {
    model: ['MODEL', {}],
    seed: ['INT', { default: 0, min: 0, max: highestSeed, control_after_generate: true }],
    steps: ['INT', { default: 20, min: 1, max: 10000 }],
    cfg: ['FLOAT', { default: 8, min: 0, max: 100, step: 0.1, round: 0.01 }],
    sampler_name: [samplerNames, {}],
    scheduler: [schedulerNames, {}],
    positive: ['CONDITIONING', {}],
    negative: ['CONDITIONING', {}],
    latent_image: ['LATENT', {}],
    denoise: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['LATENT'],
  async run({ model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise }, context) {
    return [
      await kSample(
        {
          model,
          seed,
          steps,
          cfg,
          sampler: sampler_name,
          scheduler,
          positive,
          negative,
          latent: latent_image,
          denoise,
        },
        context,
      ),
    ];
  },
});

const kSamplerAdvancedNode = defineNode({
  name: 'KSamplerAdvanced',
  displayName: 'KSampler (Advanced)',
  category: 'sampling',
  module: 'nodes',
  required: {
    model: ['MODEL'],
    add_noise: [['enable', 'disable']],
    noise_seed: ['INT', { default: 0, min: 0, max: highestSeed, control_after_generate: true }],
    steps: ['INT', { default: 20, min: 1, max: 10000 }],
    cfg: ['FLOAT', { default: 8, min: 0, max: 100, step: 0.1, round: 0.01 }],
    sampler_name: [samplerNames],
    scheduler: [schedulerNames],
    positive: ['CONDITIONING'],
    negative: ['CONDITIONING'],
    latent_image: ['LATENT'],
    start_at_step: ['INT', { default: 0, min: 0, max: 10000 }],
    end_at_step: ['INT', { default: 10000, min: 0, max: 10000 }],
    return_with_leftover_noise: [['disable', 'enable']],
  },
  outputs: ['LATENT'],
  async run(inputs, context) {
    const { model, steps, cfg, sampler_name, scheduler, positive, negative, latent_image } = inputs;
    return [
      await kSample(
        {
          model,
          seed: inputs.noise_seed,
          steps,
          cfg,
          sampler: sampler_name,
          scheduler,
          positive,
          negative,
          latent: latent_image,
          denoise: 1,
          withoutNoise: inputs.add_noise === 'disable',
          start: inputs.start_at_step,
          end: inputs.end_at_step,
          keepsNoise: inputs.return_with_leftover_noise === 'enable',
        },
        context,
      ),
    ];
  },
});

export const samplingNodes: readonly NodeType[] = [kSamplerNode, kSamplerAdvancedNode];
