/** Sampling in parts: guiders, noises, and runs over given sigmas. */

import { highestSeed } from '../seeds.ts';
import { defineNode, experimentalFlags, type NodeType } from '../definition.ts';
import { basicGuider, cfgGuider, dualGuider, perpendicularGuider } from '../sampling/guiders.ts';
import { noNoise, seededNoise } from '../sampling/noise.ts';
import { noisedLatent, sampleCustom } from '../sampling/sample-custom.ts';
import type { Guider } from '../sampling/sample.ts';

const samplerCustomNode = defineNode({
  name: 'SamplerCustom',
  displayName: 'SamplerCustom',
  category: 'sampling/custom_sampling',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    model: ['MODEL'],
    add_noise: ['BOOLEAN', { default: true }],
    noise_seed: ['INT', { default: 0, min: 0, max: highestSeed, control_after_generate: true }],
    cfg: ['FLOAT', { default: 8, min: 0, max: 100, step: 0.1, round: 0.01 }],
    positive: ['CONDITIONING'],
    negative: ['CONDITIONING'],
    sampler: ['SAMPLER'],
    sigmas: ['SIGMAS'],
    latent_image: ['LATENT'],
  },
  outputs: [
    { type: 'LATENT', name: 'output' },
    { type: 'LATENT', name: 'denoised_output' },
  ],
  run({ model, add_noise, noise_seed, cfg, positive, negative, sampler, sigmas, latent_image: latent }, context) {
    const noise = add_noise ? seededNoise(noise_seed) : { ...noNoise, seed: noise_seed };
    return sampleCustom(
      { guider: cfgGuider(model, [positive, negative], cfg), noise, sampler, sigmas, latent },
      context,
    );
  },
});

const samplerCustomAdvancedNode = defineNode({
  name: 'SamplerCustomAdvanced',
  displayName: 'SamplerCustomAdvanced',
  category: 'sampling/custom_sampling',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    noise: ['NOISE'],
    guider: ['GUIDER'],
    sampler: ['SAMPLER'],
    sigmas: ['SIGMAS'],
    latent_image: ['LATENT'],
  },
  outputs: [
    { type: 'LATENT', name: 'output' },
    { type: 'LATENT', name: 'denoised_output' },
  ],
  run: ({ noise, guider, sampler, sigmas, latent_image: latent }, context) =>
    sampleCustom({ guider: guider as Guider, noise, sampler, sigmas, latent }, context),
});

const cfgGuiderNode = defineNode({
  name: 'CFGGuider',
  displayName: 'CFGGuider',
  category: 'sampling/custom_sampling/guiders',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    model: ['MODEL'],
    positive: ['CONDITIONING'],
    negative: ['CONDITIONING'],
    cfg: ['FLOAT', { default: 8, min: 0, max: 100, step: 0.1, round: 0.01 }],
  },
  outputs: ['GUIDER'],
  run: ({ model, positive, negative, cfg }) => [cfgGuider(model, [positive, negative], cfg)],
});

const basicGuiderNode = defineNode({
  name: 'BasicGuider',
  displayName: 'BasicGuider',
  category: 'sampling/custom_sampling/guiders',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    model: ['MODEL'],
    conditioning: ['CONDITIONING'],
  },
  outputs: ['GUIDER'],
  run: ({ model, conditioning }) => [basicGuider(model, conditioning)],
});

const dualCFGGuiderNode = defineNode({
  name: 'DualCFGGuider',
  displayName: 'DualCFGGuider',
  category: 'sampling/custom_sampling/guiders',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    model: ['MODEL'],
    cond1: ['CONDITIONING'],
    cond2: ['CONDITIONING'],
    negative: ['CONDITIONING'],
    cfg_conds: ['FLOAT', { default: 8, min: 0, max: 100, step: 0.1, round: 0.01 }],
    cfg_cond2_negative: ['FLOAT', { default: 8, min: 0, max: 100, step: 0.1, round: 0.01 }],
    style: [['regular', 'nested']],
  },
  outputs: ['GUIDER'],
  run: ({ model, cond1, cond2, negative, cfg_conds, cfg_cond2_negative, style }) => [
    dualGuider(model, [cond1, cond2, negative], {
      first: cfg_conds,
      second: cfg_cond2_negative,
      isNested: style === 'nested',
    }),
  ],
});

const perpNegGuiderNode = defineNode({
  name: 'PerpNegGuider',
  displayName: null,
  category: '_for_testing',
  module: 'comfy_extras.nodes_perpneg',
  required: {
    model: ['MODEL', {}],
    positive: ['CONDITIONING', {}],
    negative: ['CONDITIONING', {}],
    empty_conditioning: ['CONDITIONING', {}],
    cfg: ['FLOAT', { default: 8, min: 0, max: 100, step: 0.1, round: 0.01 }],
    neg_scale: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01 }],
  },
  outputs: ['GUIDER'],
  flags: experimentalFlags,
  run: ({ model, positive, negative, empty_conditioning, cfg, neg_scale }) => [
    perpendicularGuider(model, [positive, negative, empty_conditioning], cfg, neg_scale),
  ],
});

const randomNoiseNode = defineNode({
  name: 'RandomNoise',
  displayName: 'RandomNoise',
  category: 'sampling/custom_sampling/noise',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    noise_seed: ['INT', { default: 0, min: 0, max: highestSeed, control_after_generate: true }],
  },
  outputs: ['NOISE'],
  run: ({ noise_seed }) => [seededNoise(noise_seed)],
});

const disableNoiseNode = defineNode({
  name: 'DisableNoise',
  displayName: 'DisableNoise',
  category: 'sampling/custom_sampling/noise',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {},
  outputs: ['NOISE'],
  run: () => [noNoise],
});

const addNoiseNode = defineNode({
  name: 'AddNoise',
  displayName: 'AddNoise',
  category: '_for_testing/custom_sampling/noise',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    model: ['MODEL'],
    noise: ['NOISE'],
    sigmas: ['SIGMAS'],
    latent_image: ['LATENT'],
  },
  outputs: ['LATENT'],
  run: ({ model, noise, sigmas, latent_image }) => [noisedLatent(model, noise, sigmas, latent_image)],
});

export const customSamplingNodes: readonly NodeType[] = [
  samplerCustomNode,
  samplerCustomAdvancedNode,
  cfgGuiderNode,
  basicGuiderNode,
  dualCFGGuiderNode,
  perpNegGuiderNode,
  randomNoiseNode,
  disableNoiseNode,
  addNoiseNode,
];
