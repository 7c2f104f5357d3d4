/** Samplers with settings of their own. */

import { sampleEulerAlternativeCfgPp } from '../../diffusion/samplers/cfg-pp.ts';
import { erSdeSampling } from '../../diffusion/samplers/er-sde.ts';
import { saSolverSampling } from '../../diffusion/samplers/sa-solver.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';
import { defineNode, experimentalFlags, type NodeType, plainFlags } from '../definition.ts';
import { upscalingLcm } from '../sampling/lcm-upscale.ts';
import { samplerNames } from '../sampling/names.ts';
import { samplerOf, samplerWith } from '../sampling/sigmas.ts';

const kSamplerSelectNode = defineNode({
  name: 'KSamplerSelect',
  displayName: 'KSamplerSelect',
  category: 'sampling/custom_sampling/samplers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    sampler_name: [samplerNames],
  },
  outputs: ['SAMPLER'],
  run: ({ sampler_name }) => [samplerOf(sampler_name)],
});

const samplerEulerAncestralNode = defineNode({
  name: 'SamplerEulerAncestral',
  displayName: 'SamplerEulerAncestral',
  category: 'sampling/custom_sampling/samplers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    eta: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
    s_noise: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
  },
  outputs: ['SAMPLER'],
  run: ({ eta, s_noise }) => [samplerWith('euler_ancestral', { eta, sNoise: s_noise })],
});

const samplerEulerAncestralCFGPPNode = defineNode({
  name: 'SamplerEulerAncestralCFGPP',
  displayName: 'SamplerEulerAncestralCFG++',
  category: 'sampling/custom_sampling/samplers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    eta: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01, round: false }],
    s_noise: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.01, round: false }],
  },
  outputs: ['SAMPLER'],
  run: ({ eta, s_noise }) => [samplerWith('euler_ancestral_cfg_pp', { eta, sNoise: s_noise })],
});

const samplerLMSNode = defineNode({
  name: 'SamplerLMS',
  displayName: 'SamplerLMS',
  category: 'sampling/custom_sampling/samplers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    order: ['INT', { default: 4, min: 1, max: 100 }],
  },
  outputs: ['SAMPLER'],
  run: ({ order }) => [samplerWith('lms', { order })],
});

const samplerDPMPP_3M_SDENode = defineNode({
  name: 'SamplerDPMPP_3M_SDE',
  displayName: 'SamplerDPMPP_3M_SDE',
  category: 'sampling/custom_sampling/samplers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    eta: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
    s_noise: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
    noise_device: [['gpu', 'cpu']],
  },
  outputs: ['SAMPLER'],
  run: ({ eta, s_noise }) => [samplerWith('dpmpp_3m_sde', { eta, sNoise: s_noise })],
});

const samplerDPMPP_2M_SDENode = defineNode({
  name: 'SamplerDPMPP_2M_SDE',
  displayName: 'SamplerDPMPP_2M_SDE',
  category: 'sampling/custom_sampling/samplers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    solver_type: [['midpoint', 'heun']],
    eta: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
    s_noise: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
    noise_device: [['gpu', 'cpu']],
  },
  outputs: ['SAMPLER'],
  run: ({ solver_type, eta, s_noise }) => [
    samplerWith('dpmpp_2m_sde', { eta, sNoise: s_noise, solverType: solver_type === 'heun' ? 'heun' : 'midpoint' }),
  ],
});

const samplerDPMPP_SDENode = defineNode({
  name: 'SamplerDPMPP_SDE',
  displayName: 'SamplerDPMPP_SDE',
  category: 'sampling/custom_sampling/samplers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    eta: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
    s_noise: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
    r: ['FLOAT', { default: 0.5, min: 0, max: 100, step: 0.01, round: false }],
    noise_device: [['gpu', 'cpu']],
  },
  outputs: ['SAMPLER'],
  run: ({ eta, s_noise, r }) => [samplerWith('dpmpp_sde', { eta, sNoise: s_noise, r })],
});

const samplerDPMPP_2S_AncestralNode = defineNode({
  name: 'SamplerDPMPP_2S_Ancestral',
  displayName: 'SamplerDPMPP_2S_Ancestral',
  category: 'sampling/custom_sampling/samplers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    eta: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
    s_noise: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
  },
  outputs: ['SAMPLER'],
  run: ({ eta, s_noise }) => [samplerWith('dpmpp_2s_ancestral', { eta, sNoise: s_noise })],
});

const samplerDPMAdaptativeNode = defineNode({
  name: 'SamplerDPMAdaptative',
  displayName: 'SamplerDPMAdaptative',
  category: 'sampling/custom_sampling/samplers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    order: ['INT', { default: 3, min: 2, max: 3 }],
    rtol: ['FLOAT', { default: 0.05, min: 0, max: 100, step: 0.01, round: false }],
    atol: ['FLOAT', { default: 0.0078, min: 0, max: 100, step: 0.01, round: false }],
    h_init: ['FLOAT', { default: 0.05, min: 0, max: 100, step: 0.01, round: false }],
    pcoeff: ['FLOAT', { default: 0, min: 0, max: 100, step: 0.01, round: false }],
    icoeff: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
    dcoeff: ['FLOAT', { default: 0, min: 0, max: 100, step: 0.01, round: false }],
    accept_safety: ['FLOAT', { default: 0.81, min: 0, max: 100, step: 0.01, round: false }],
    eta: ['FLOAT', { default: 0, min: 0, max: 100, step: 0.01, round: false }],
    s_noise: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
  },
  outputs: ['SAMPLER'],
  run: ({ order, rtol, atol, h_init, pcoeff, icoeff, dcoeff, accept_safety, eta, s_noise }) => [
    samplerWith('dpm_adaptive', {
      order,
      rtol,
      atol,
      hInit: h_init,
      pcoeff,
      icoeff,
      dcoeff,
      acceptSafety: accept_safety,
      eta,
      sNoise: s_noise,
    }),
  ],
});

const samplerEulerCFGppNode = defineNode({
  name: 'SamplerEulerCFGpp',
  displayName: 'SamplerEulerCFG++',
  category: '_for_testing',
  module: 'comfy_extras.nodes_advanced_samplers',
  required: {
    version: ['COMBO', { multiselect: false, options: ['regular', 'alternative'] }],
  },
  outputs: ['SAMPLER'],
  flags: experimentalFlags,
  run({ version }) {
    const regular = samplerOf('euler_cfg_pp');
    return [version === 'alternative' ? { ...regular, sample: sampleEulerAlternativeCfgPp } : regular];
  },
});

const samplerLCMUpscaleNode = defineNode({
  name: 'SamplerLCMUpscale',
  displayName: null,
  category: 'sampling/custom_sampling/samplers',
  module: 'comfy_extras.nodes_advanced_samplers',
  required: {
    scale_ratio: ['FLOAT', { default: 1, min: 0.1, max: 20, step: 0.01 }],
    scale_steps: ['INT', { default: -1, min: -1, max: 1000, step: 1 }],
    upscale_method: [
      'COMBO',
      { multiselect: false, options: ['bislerp', 'nearest-exact', 'bilinear', 'area', 'bicubic'] },
    ],
  },
  outputs: ['SAMPLER'],
  flags: plainFlags,
  run({ scale_ratio: ratio, scale_steps, upscale_method: method }) {
    const settings = { ratio, method, ...(scale_steps >= 0 && { steps: scale_steps }) };
    return [{ ...samplerOf('lcm'), begin: (random: TorchGenerator) => upscalingLcm(settings, random) }];
  },
});

const samplerErSdeNode = defineNode({
  name: 'SamplerER_SDE',
  displayName: 'SamplerER_SDE',
  category: 'sampling/custom_sampling/samplers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    solver_type: ['COMBO', { options: ['ER-SDE', 'Reverse-time SDE', 'ODE'] }],
    max_stage: ['INT', { default: 3, min: 1, max: 3 }],
    eta: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
    s_noise: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
  },
  outputs: ['SAMPLER'],
  run({ solver_type, max_stage: order, eta, s_noise: sNoise }) {
    if (solver_type === 'ER-SDE') return [samplerWith('er_sde', { order, sNoise })];
    const power = solver_type === 'ODE' ? 0 : eta;
    const sampler = samplerWith('er_sde', { order, sNoise: power === 0 ? 0 : sNoise });
    return [{ ...sampler, sample: erSdeSampling((sigma) => sigma ** (power + 1)) }];
  },
});

const samplerSaSolverNode = defineNode({
  name: 'SamplerSASolver',
  displayName: 'SamplerSASolver',
  category: 'sampling/custom_sampling/samplers',
  module: 'comfy_extras.nodes_custom_sampler',
  required: {
    model: ['MODEL', {}],
    eta: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.01, round: false }],
    sde_start_percent: ['FLOAT', { default: 0.2, min: 0, max: 1, step: 0.001 }],
    sde_end_percent: ['FLOAT', { default: 0.8, min: 0, max: 1, step: 0.001 }],
    s_noise: ['FLOAT', { default: 1, min: 0, max: 100, step: 0.01, round: false }],
    predictor_order: ['INT', { default: 3, min: 1, max: 6 }],
    corrector_order: ['INT', { default: 4, min: 0, max: 6 }],
    use_pece: ['BOOLEAN', {}],
    simple_order_2: ['BOOLEAN', {}],
  },
  outputs: ['SAMPLER'],
  run({ model, eta, s_noise: sNoise, ...settings }) {
    const { percentToSigma } = model.sampling;
    const [high, low] = [percentToSigma(settings.sde_start_percent), percentToSigma(settings.sde_end_percent)];
    const sample = saSolverSampling({
      isPece: settings.use_pece,
      predictorOrder: settings.predictor_order,
      correctorOrder: settings.corrector_order,
      simpleOrder2: settings.simple_order_2,
      tau: (sigma) => (sigma >= low && sigma <= high ? eta : 0),
    });
    return [{ ...samplerWith('sa_solver', { sNoise }), sample }];
  },
});

export const samplerNodes: readonly NodeType[] = [
  kSamplerSelectNode,
  samplerEulerAncestralNode,
  samplerEulerAncestralCFGPPNode,
  samplerLMSNode,
  samplerDPMPP_3M_SDENode,
  samplerDPMPP_2M_SDENode,
  samplerDPMPP_SDENode,
  samplerDPMPP_2S_AncestralNode,
  samplerDPMAdaptativeNode,
  samplerEulerCFGppNode,
  samplerLCMUpscaleNode,
  samplerErSdeNode,
  samplerSaSolverNode,
];
