/** Nodes of control networks. */

import { controlNetOf } from '../control-net.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { defineNode, experimentalFlags, type NodeType } from '../definition.ts';
import { channelsFirst } from '../pictures.ts';
import { encodeText } from '../text/encode-text.ts';
import { type ConditioningValue, withControl, withFields } from '../values/conditioning.ts';
import type { ControlNetValue } from '../values/control.ts';

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

interface Applied {
  readonly positive: ConditioningValue;
  readonly negative: ConditioningValue;
  readonly control_net: ControlNetValue;
  readonly image: Tensor<'float32'>;
  readonly strength: number;
  readonly start_percent: number;
  readonly end_percent: number;
}

/** Both prompts with a control network for a part of the run; as they were at strength 0. */
function applied({ positive, negative, control_net, image, strength, start_percent, end_percent }: Applied) {
  if (strength === 0) return [positive, negative];
  const hint = channelsFirst(image);
  const control = { ...control_net, hint, strength, startPercent: start_percent, endPercent: end_percent };
  return [withControl(positive, control, false), withControl(negative, control, false)];
}

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
  run: applied,
});

const controlNetInpaintingNode = defineNode({
  name: 'ControlNetInpaintingAliMamaApply',
  displayName: 'ControlNetInpaintingAliMamaApply',
  category: 'conditioning/controlnet',
  module: 'comfy_extras.nodes_controlnet',
  required: {
    positive: ['CONDITIONING'],
    negative: ['CONDITIONING'],
    control_net: ['CONTROL_NET'],
    vae: ['VAE'],
    image: ['IMAGE'],
    mask: ['MASK'],
    strength: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.01 }],
    start_percent: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.001 }],
    end_percent: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.001 }],
  },
  outputs: [
    { type: 'CONDITIONING', name: 'positive' },
    { type: 'CONDITIONING', name: 'negative' },
  ],
  // Networks for Stable Diffusion take no mask: ComfyUI gives it to those of Flux and SD 3 alone.
  run: applied,
});

const unionControlTypeNode = defineNode({
  name: 'SetUnionControlNetType',
  displayName: 'SetUnionControlNetType',
  category: 'conditioning/controlnet',
  module: 'comfy_extras.nodes_controlnet',
  required: {
    control_net: ['CONTROL_NET'],
    type: [
      [
        'auto',
        'openpose',
        'depth',
        'hed/pidi/scribble/ted',
        'canny/lineart/anime_lineart/mlsd',
        'normal',
        'segment',
        'tile',
        'repaint',
      ],
    ],
  },
  outputs: ['CONTROL_NET'],
  // A network for one kind of picture has no types: ComfyUI leaves it as it is too. Union networks are refused where they are loaded.
  run: ({ control_net }) => [control_net],
});

const controlTextEncodeNode = defineNode({
  name: 'CLIPTextEncodeControlnet',
  displayName: null,
  category: '_for_testing/conditioning',
  module: 'comfy_extras.nodes_cond',
  required: {
    clip: ['CLIP', {}],
    conditioning: ['CONDITIONING', {}],
    text: ['STRING', { multiline: true, dynamicPrompts: true }],
  },
  outputs: ['CONDITIONING'],
  flags: experimentalFlags,
  async run({ clip, conditioning, text }, context) {
    const { cond, pooled_output } = await encodeText(clip, text, context);
    return [withFields(conditioning, { cross_attn_controlnet: cond, pooled_output_controlnet: pooled_output })];
  },
});

export const controlNodes: readonly NodeType[] = [
  controlNetLoaderNode,
  diffControlNetLoaderNode,
  controlNetApplyNode,
  controlNetApplyAdvancedNode,
  controlNetInpaintingNode,
  unionControlTypeNode,
  controlTextEncodeNode,
];
