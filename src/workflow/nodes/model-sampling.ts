/** How a model is sampled: its objective and its levels. */

import { defineNode, type NodeType } from '../definition.ts';
import {
  continuousEdm,
  continuousV,
  discreteSampling,
  distilledSampling,
  imageToImageSampling,
  scheduleOfBetas,
} from '../sampling/model-sampling.ts';
import { zeroTerminalSnr } from '../../diffusion/sigma-schedules/zero-terminal-snr.ts';
import { betasOf } from '../../diffusion/model-schedule.ts';
import { refuseSetting } from '../sampling/refuse-setting.ts';

const modelSamplingDiscreteNode = defineNode({
  name: 'ModelSamplingDiscrete',
  displayName: 'ModelSamplingDiscrete',
  category: 'advanced/model',
  module: 'comfy_extras.nodes_model_advanced',
  required: {
    model: ['MODEL'],
    sampling: [['eps', 'v_prediction', 'lcm', 'x0', 'img_to_img']],
    zsnr: ['BOOLEAN', { default: false }],
  },
  outputs: ['MODEL'],
  run({ model, sampling, zsnr }) {
    const own = scheduleOfBetas(betasOf(model.config));
    const schedule = zsnr ? zeroTerminalSnr(own) : own;
    if (sampling === 'lcm') return [{ ...model, sampling: distilledSampling(schedule) }];
    if (sampling === 'img_to_img') return [{ ...model, sampling: imageToImageSampling(schedule) }];
    const objective = sampling === 'v_prediction' ? 'v' : sampling === 'x0' ? 'x0' : 'eps';
    return [{ ...model, sampling: discreteSampling(schedule, objective) }];
  },
});

/** The scale of Playground v2.5's latents (its autoencoder's configuration, https://huggingface.co/playgroundai/playground-v2.5-1024px-aesthetic). */
const playgroundLatents = {
  scale_factor: 0.5,
  latent_mean: [-1.6574, 1.886, -1.383, 2.5155],
  latent_std: [8.4927, 5.9022, 6.5498, 5.2299],
} as const;

const modelSamplingContinuousEDMNode = defineNode({
  name: 'ModelSamplingContinuousEDM',
  displayName: 'ModelSamplingContinuousEDM',
  category: 'advanced/model',
  module: 'comfy_extras.nodes_model_advanced',
  required: {
    model: ['MODEL'],
    sampling: [['v_prediction', 'edm', 'edm_playground_v2.5', 'eps', 'cosmos_rflow']],
    sigma_max: ['FLOAT', { default: 120, min: 0, max: 1000, step: 0.001, round: false }],
    sigma_min: ['FLOAT', { default: 0.002, min: 0, max: 1000, step: 0.001, round: false }],
  },
  outputs: ['MODEL'],
  run({ model, sampling, sigma_max, sigma_min }) {
    if (sampling === 'cosmos_rflow')
      refuseSetting('ModelSamplingContinuousEDM', 'sampling', sampling, ['v_prediction', 'edm', 'eps']);
    const kind = sampling === 'v_prediction' ? 'v' : sampling === 'eps' ? 'eps' : 'edm';
    const config = sampling === 'edm_playground_v2.5' ? { ...model.config, ...playgroundLatents } : model.config;
    return [{ ...model, config, sampling: continuousEdm(kind, sigma_min, sigma_max) }];
  },
});

const modelSamplingContinuousVNode = defineNode({
  name: 'ModelSamplingContinuousV',
  displayName: 'ModelSamplingContinuousV',
  category: 'advanced/model',
  module: 'comfy_extras.nodes_model_advanced',
  required: {
    model: ['MODEL'],
    sampling: [['v_prediction']],
    sigma_max: ['FLOAT', { default: 500, min: 0, max: 1000, step: 0.001, round: false }],
    sigma_min: ['FLOAT', { default: 0.03, min: 0, max: 1000, step: 0.001, round: false }],
  },
  outputs: ['MODEL'],
  run: ({ model, sigma_max, sigma_min }) => [{ ...model, sampling: continuousV(sigma_min, sigma_max) }],
});

/** Networks compute in float32 here whatever is asked, which is more exact than what the original then does. */
const modelComputeDtypeNode = defineNode({
  name: 'ModelComputeDtype',
  displayName: 'ModelComputeDtype',
  category: 'advanced/debug/model',
  module: 'comfy_extras.nodes_model_advanced',
  required: { model: ['MODEL'], dtype: [['default', 'fp32', 'fp16', 'bf16']] },
  outputs: ['MODEL'],
  run: ({ model }) => [model],
});

export const modelSamplingNodes: readonly NodeType[] = [
  modelSamplingDiscreteNode,
  modelSamplingContinuousEDMNode,
  modelSamplingContinuousVNode,
  modelComputeDtypeNode,
];
