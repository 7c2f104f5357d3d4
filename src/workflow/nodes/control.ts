/** Nodes of control networks. */

import { controlNetOf } from '../control-net.ts';
import { defineNode, type NodeType } from '../definition.ts';
import { channelsFirst } from '../pictures.ts';
import { withControl } from '../values/conditioning.ts';

const controlNetLoaderNode = defineNode({
  name: 'ControlNetLoader',
  displayName: 'Load ControlNet Model',
  category: 'loaders',
  module: 'nodes',
  required: {
    control_net_name: [{ folder: 'controlnet' }],
  },
  outputs: ['CONTROL_NET'],
  async run({ control_net_name }, { files }) {
    return [await controlNetOf(await files.weights('controlnet', control_net_name))];
  },
});

const diffControlNetLoaderNode = defineNode({
  name: 'DiffControlNetLoader',
  displayName: 'Load ControlNet Model (diff)',
  category: 'loaders',
  module: 'nodes',
  required: {
    model: ['MODEL'],
    control_net_name: [{ folder: 'controlnet' }],
  },
  outputs: ['CONTROL_NET'],
  async run({ model, control_net_name }, { files }) {
    const loaded = await controlNetOf(await files.weights('controlnet', control_net_name));
    return [{ ...loaded, summand: model.network }];
  },
});

const controlNetApplyNode = defineNode({
  name: 'ControlNetApply',
  displayName: 'Apply ControlNet (OLD)',
  category: 'conditioning/controlnet',
  module: 'nodes',
  required: {
    conditioning: ['CONDITIONING'],
    control_net: ['CONTROL_NET'],
    image: ['IMAGE'],
    strength: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.01 }],
  },
  outputs: ['CONDITIONING'],
  flags: { deprecated: true },
  run({ conditioning, control_net, image, strength }) {
    if (strength === 0) return [conditioning];
    const applied = { ...control_net, hint: channelsFirst(image), strength, startPercent: 0, endPercent: 1 };
    return [withControl(conditioning, applied, true)];
  },
});

const controlNetApplyAdvancedNode = defineNode({
  name: 'ControlNetApplyAdvanced',
  displayName: 'Apply ControlNet',
  category: 'conditioning/controlnet',
  module: 'nodes',
  required: {
    positive: ['CONDITIONING'],
    negative: ['CONDITIONING'],
    control_net: ['CONTROL_NET'],
    image: ['IMAGE'],
    strength: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.01 }],
    start_percent: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.001 }],
    end_percent: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.001 }],
  },
  optional: { vae: ['VAE'] },
  outputs: [
    { type: 'CONDITIONING', name: 'positive' },
    { type: 'CONDITIONING', name: 'negative' },
  ],
  run({ positive, negative, control_net, image, strength, start_percent, end_percent }) {
    if (strength === 0) return [positive, negative];
    const hint = channelsFirst(image);
    const applied = { ...control_net, hint, strength, startPercent: start_percent, endPercent: end_percent };
    return [withControl(positive, applied, false), withControl(negative, applied, false)];
  },
});

export const controlNodes: readonly NodeType[] = [
  controlNetLoaderNode,
  diffControlNetLoaderNode,
  controlNetApplyNode,
  controlNetApplyAdvancedNode,
];
