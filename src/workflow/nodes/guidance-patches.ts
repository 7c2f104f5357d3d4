/** Changes of a model's guidance, and of what a mask means during a run. */

import { defineNode, experimentalFlags, type NodeType, plainFlags } from '../definition.ts';
import {
  adaptiveProjection,
  differential,
  epsilonScaling,
  mahiroGuidance,
  rescaledGuidance,
  zeroStar,
} from '../sampling/guidance-patches.ts';
import { patched } from '../values/model.ts';

const rescaleCFGNode = defineNode({
  name: 'RescaleCFG',
  displayName: 'RescaleCFG',
  category: 'advanced/model',
  module: 'comfy_extras.nodes_model_advanced',
  required: {
    model: ['MODEL'],
    multiplier: ['FLOAT', { default: 0.7, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['MODEL'],
  run: ({ model, multiplier }) => [patched(model, { guide: rescaledGuidance(multiplier) })],
});

const mahiroNode = defineNode({
  name: 'Mahiro',
  displayName: 'Mahiro is so cute that she deserves a better guidance function!! (。・ω・。)',
  category: '_for_testing',
  module: 'comfy_extras.nodes_mahiro',
  required: {
    model: ['MODEL', {}],
  },
  outputs: [{ type: 'MODEL', name: 'patched_model' }],
  flags: experimentalFlags,
  run: ({ model }) => [patched(model, { afterGuidance: [mahiroGuidance] })],
});

const cfgZeroStarNode = defineNode({
  name: 'CFGZeroStar',
  displayName: null,
  category: 'advanced/guidance',
  module: 'comfy_extras.nodes_cfg',
  required: {
    model: ['MODEL', {}],
  },
  outputs: [{ type: 'MODEL', name: 'patched_model' }],
  flags: plainFlags,
  run: ({ model }) => [patched(model, { afterGuidance: [zeroStar] })],
});

const apgNode = defineNode({
  name: 'APG',
  displayName: 'Adaptive Projected Guidance',
  category: 'sampling/custom_sampling',
  module: 'comfy_extras.nodes_apg',
  required: {
    model: ['MODEL', {}],
    eta: ['FLOAT', { default: 1, min: -10, max: 10, step: 0.01 }],
    norm_threshold: ['FLOAT', { default: 5, min: 0, max: 50, step: 0.1 }],
    momentum: ['FLOAT', { default: 0, min: -5, max: 1, step: 0.01 }],
  },
  outputs: ['MODEL'],
  flags: plainFlags,
  run: ({ model, eta, norm_threshold: threshold, momentum }) => [
    patched(model, { beforeGuidance: [adaptiveProjection({ eta, threshold, momentum })] }),
  ],
});

const epsilonScalingNode = defineNode({
  name: 'Epsilon Scaling',
  displayName: null,
  category: 'model_patches/unet',
  module: 'comfy_extras.nodes_eps',
  required: {
    model: ['MODEL', {}],
    scaling_factor: ['FLOAT', { default: 1.005, min: 0.5, max: 1.5, step: 0.001, display: 'number' }],
  },
  outputs: ['MODEL'],
  flags: plainFlags,
  run: ({ model, scaling_factor }) => [
    patched(model, { afterGuidance: [epsilonScaling(scaling_factor === 0 ? 1e-9 : scaling_factor)] }),
  ],
});

const differentialDiffusionNode = defineNode({
  name: 'DifferentialDiffusion',
  displayName: 'Differential Diffusion',
  category: '_for_testing',
  module: 'comfy_extras.nodes_differential_diffusion',
  required: {
    model: ['MODEL', {}],
  },
  optional: {
    strength: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['MODEL'],
  flags: experimentalFlags,
  run: ({ model, strength = 1 }) => [patched(model, { denoiseMask: differential(model.sampling, strength) })],
});

export const guidancePatchNodes: readonly NodeType[] = [
  rescaleCFGNode,
  mahiroNode,
  cfgZeroStarNode,
  apgNode,
  epsilonScalingNode,
  differentialDiffusionNode,
];
