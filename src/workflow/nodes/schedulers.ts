/** Sigmas: schedules, and parts and changes of them. */

import { gitsLevels } from '../../diffusion/sigma-schedules/gits.ts';
import { defineNode, type NodeType, plainFlags } from '../definition.ts';
import { schedulerNames } from '../sampling/names.ts';
import { extended, laplace, splitAt, splitByDenoise } from '../sampling/sigma-lists.ts';
import { formula, basicSigmas, alignedSigmas } from '../sampling/sigmas.ts';
import { sigmaSchedules } from '../../diffusion/sigma-schedules/index.ts';

const basicSchedulerNode = defineNode({
  name: 'BasicScheduler',
  displayName: 'BasicScheduler',
  category: 'sampling/custom_sampling/schedulers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    model: ['MODEL'],
    scheduler: [schedulerNames],
    steps: ['INT', { default: 20, min: 1, max: 10000 }],
    denoise: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['SIGMAS'],
  run: ({ model, scheduler, steps, denoise }) => [basicSigmas(model.sampling, scheduler, steps, denoise)],
});

const karrasSchedulerNode = defineNode({
  name: 'KarrasScheduler',
  displayName: 'KarrasScheduler',
  category: 'sampling/custom_sampling/schedulers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    steps: ['INT', { default: 20, min: 1, max: 10000 }],
    sigma_max: ['FLOAT', { default: 14.614642, min: 0, max: 5000, step: 0.01, round: false }],
    sigma_min: ['FLOAT', { default: 0.0291675, min: 0, max: 5000, step: 0.01, round: false }],
    rho: ['FLOAT', { default: 7, min: 0, max: 100, step: 0.01, round: false }],
  },
  outputs: ['SIGMAS'],
  run: ({ steps, sigma_max: sigmaMax, sigma_min: sigmaMin, rho }) => [
    formula('karras', steps, { sigmaMin, sigmaMax, rho }),
  ],
});

const exponentialSchedulerNode = defineNode({
  name: 'ExponentialScheduler',
  displayName: 'ExponentialScheduler',
  category: 'sampling/custom_sampling/schedulers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    steps: ['INT', { default: 20, min: 1, max: 10000 }],
    sigma_max: ['FLOAT', { default: 14.614642, min: 0, max: 5000, step: 0.01, round: false }],
    sigma_min: ['FLOAT', { default: 0.0291675, min: 0, max: 5000, step: 0.01, round: false }],
  },
  outputs: ['SIGMAS'],
  run: ({ steps, sigma_max: sigmaMax, sigma_min: sigmaMin }) => [formula('exponential', steps, { sigmaMin, sigmaMax })],
});

const polyexponentialSchedulerNode = defineNode({
  name: 'PolyexponentialScheduler',
  displayName: 'PolyexponentialScheduler',
  category: 'sampling/custom_sampling/schedulers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    steps: ['INT', { default: 20, min: 1, max: 10000 }],
    sigma_max: ['FLOAT', { default: 14.614642, min: 0, max: 5000, step: 0.01, round: false }],
    sigma_min: ['FLOAT', { default: 0.0291675, min: 0, max: 5000, step: 0.01, round: false }],
    rho: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
  },
  outputs: ['SIGMAS'],
  run: ({ steps, sigma_max: sigmaMax, sigma_min: sigmaMin, rho }) => [
    formula('polyexponential', steps, { sigmaMin, sigmaMax, rho }),
  ],
});

const laplaceSchedulerNode = defineNode({
  name: 'LaplaceScheduler',
  displayName: 'LaplaceScheduler',
  category: 'sampling/custom_sampling/schedulers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    steps: ['INT', { default: 20, min: 1, max: 10000 }],
    sigma_max: ['FLOAT', { default: 14.614642, min: 0, max: 5000, step: 0.01, round: false }],
    sigma_min: ['FLOAT', { default: 0.0291675, min: 0, max: 5000, step: 0.01, round: false }],
    mu: ['FLOAT', { default: 0, min: -10, max: 10, step: 0.1, round: false }],
    beta: ['FLOAT', { default: 0.5, min: 0, max: 10, step: 0.1, round: false }],
  },
  outputs: ['SIGMAS'],
  run: ({ steps, sigma_max, sigma_min, mu, beta }) => [laplace(steps, { min: sigma_min, max: sigma_max, mu, beta })],
});

const vpSchedulerNode = defineNode({
  name: 'VPScheduler',
  displayName: 'VPScheduler',
  category: 'sampling/custom_sampling/schedulers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    steps: ['INT', { default: 20, min: 1, max: 10000 }],
    beta_d: ['FLOAT', { default: 19.9, min: 0, max: 5000, step: 0.01, round: false }],
    beta_min: ['FLOAT', { default: 0.1, min: 0, max: 5000, step: 0.01, round: false }],
    eps_s: ['FLOAT', { default: 0.001, min: 0, max: 1, step: 0.0001, round: false }],
  },
  outputs: ['SIGMAS'],
  run: ({ steps, beta_d: betaD, beta_min: betaMin, eps_s: epsS }) => [formula('vp', steps, { betaD, betaMin, epsS })],
});

const betaSamplingSchedulerNode = defineNode({
  name: 'BetaSamplingScheduler',
  displayName: 'BetaSamplingScheduler',
  category: 'sampling/custom_sampling/schedulers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    model: ['MODEL'],
    steps: ['INT', { default: 20, min: 1, max: 10000 }],
    alpha: ['FLOAT', { default: 0.6, min: 0, max: 50, step: 0.01, round: false }],
    beta: ['FLOAT', { default: 0.6, min: 0, max: 50, step: 0.01, round: false }],
  },
  outputs: ['SIGMAS'],
  run: ({ model, steps, alpha, beta }) => [sigmaSchedules.beta(steps, model.sampling.schedule, { alpha, beta })],
});

const sdTurboSchedulerNode = defineNode({
  name: 'SDTurboScheduler',
  displayName: 'SDTurboScheduler',
  category: 'sampling/custom_sampling/schedulers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    model: ['MODEL'],
    steps: ['INT', { default: 1, min: 1, max: 10 }],
    denoise: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['SIGMAS'],
  run: ({ model, steps, denoise }) => [sigmaSchedules.turbo(steps, model.sampling.schedule, { denoise })],
});

const alignYourStepsSchedulerNode = defineNode({
  name: 'AlignYourStepsScheduler',
  displayName: null,
  category: 'sampling/custom_sampling/schedulers',
  module: 'comfy_extras.nodes_align_your_steps',
  required: {
    model_type: ['COMBO', { multiselect: false, options: ['SD1', 'SDXL', 'SVD'] }],
    steps: ['INT', { default: 10, min: 1, max: 10000 }],
    denoise: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['SIGMAS'],
  flags: plainFlags,
  run({ model_type, steps, denoise }) {
    return [alignedSigmas(model_type === 'SVD' || model_type === 'SDXL' ? model_type : 'SD1', steps, denoise)];
  },
});

const gitsSchedulerNode = defineNode({
  name: 'GITSScheduler',
  displayName: null,
  category: 'sampling/custom_sampling/schedulers',
  module: 'comfy_extras.nodes_gits',
  required: {
    coeff: ['FLOAT', { default: 1.2, min: 0.8, max: 1.5, step: 0.05 }],
    steps: ['INT', { default: 10, min: 2, max: 1000 }],
    denoise: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['SIGMAS'],
  flags: plainFlags,
  run: ({ coeff, steps, denoise }) => [gitsLevels(coeff, steps, denoise)],
});

const splitSigmasNode = defineNode({
  name: 'SplitSigmas',
  displayName: 'SplitSigmas',
  category: 'sampling/custom_sampling/sigmas',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    sigmas: ['SIGMAS'],
    step: ['INT', { default: 0, min: 0, max: 10000 }],
  },
  outputs: [
    { type: 'SIGMAS', name: 'high_sigmas' },
    { type: 'SIGMAS', name: 'low_sigmas' },
  ],
  run: ({ sigmas, step }) => splitAt(sigmas, step),
});

const splitSigmasDenoiseNode = defineNode({
  name: 'SplitSigmasDenoise',
  displayName: 'SplitSigmasDenoise',
  category: 'sampling/custom_sampling/sigmas',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    sigmas: ['SIGMAS'],
    denoise: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  outputs: [
    { type: 'SIGMAS', name: 'high_sigmas' },
    { type: 'SIGMAS', name: 'low_sigmas' },
  ],
  run: ({ sigmas, denoise }) => splitByDenoise(sigmas, denoise),
});

const flipSigmasNode = defineNode({
  name: 'FlipSigmas',
  displayName: 'FlipSigmas',
  category: 'sampling/custom_sampling/sigmas',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    sigmas: ['SIGMAS'],
  },
  outputs: ['SIGMAS'],
  run({ sigmas }) {
    const turned = sigmas.slice().reverse();
    if (turned[0] === 0) turned[0] = 0.0001;
    return [turned];
  },
});

const setFirstSigmaNode = defineNode({
  name: 'SetFirstSigma',
  displayName: 'SetFirstSigma',
  category: 'sampling/custom_sampling/sigmas',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    sigmas: ['SIGMAS'],
    sigma: ['FLOAT', { default: 136, min: 0, max: 20000, step: 0.001, round: false }],
  },
  outputs: ['SIGMAS'],
  run({ sigmas, sigma }) {
    const changed = sigmas.slice();
    if (changed.length > 0) changed[0] = sigma;
    return [changed];
  },
});

const extendIntermediateSigmasNode = defineNode({
  name: 'ExtendIntermediateSigmas',
  displayName: 'ExtendIntermediateSigmas',
  category: 'sampling/custom_sampling/sigmas',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    sigmas: ['SIGMAS'],
    steps: ['INT', { default: 2, min: 1, max: 100 }],
    start_at_sigma: ['FLOAT', { default: -1, min: -1, max: 20000, step: 0.01, round: false }],
    end_at_sigma: ['FLOAT', { default: 12, min: 0, max: 20000, step: 0.01, round: false }],
    spacing: [['linear', 'cosine', 'sine']],
  },
  outputs: ['SIGMAS'],
  run: ({ sigmas, steps, start_at_sigma, end_at_sigma, spacing }) => [
    extended(sigmas, { steps, start: start_at_sigma, end: end_at_sigma, spacing }),
  ],
});

const samplingPercentToSigmaNode = defineNode({
  name: 'SamplingPercentToSigma',
  displayName: 'SamplingPercentToSigma',
  category: 'sampling/custom_sampling/sigmas',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    model: ['MODEL', {}],
    sampling_percent: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.0001 }],
    return_actual_sigma: ['BOOLEAN', { default: false }],
  },
  outputs: [{ type: 'FLOAT', name: 'sigma_value' }],
  run({ model, sampling_percent, return_actual_sigma }) {
    const { percentToSigma, sigmaMin, sigmaMax } = model.sampling;
    if (return_actual_sigma && sampling_percent === 0) return [sigmaMax];
    return [return_actual_sigma && sampling_percent === 1 ? sigmaMin : percentToSigma(sampling_percent)];
  },
});

export const schedulerNodes: readonly NodeType[] = [
  basicSchedulerNode,
  karrasSchedulerNode,
  exponentialSchedulerNode,
  polyexponentialSchedulerNode,
  laplaceSchedulerNode,
  vpSchedulerNode,
  betaSamplingSchedulerNode,
  sdTurboSchedulerNode,
  alignYourStepsSchedulerNode,
  gitsSchedulerNode,
  splitSigmasNode,
  splitSigmasDenoiseNode,
  flipSigmasNode,
  setFirstSigmaNode,
  extendIntermediateSigmasNode,
  samplingPercentToSigmaNode,
];
