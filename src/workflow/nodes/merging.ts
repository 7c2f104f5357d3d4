/** Merged models and text encoders, and LoRAs in both. */

import { defineNode, type NodeType } from '../definition.ts';
import { loraApplied } from '../lora.ts';
import { difference, mixture, sharesByPrefix, sum } from '../merge.ts';

const loraLoaderNode = defineNode({
  name: 'LoraLoader',
  displayName: 'Load LoRA',
  category: 'loaders',
  module: 'nodes',
  required: {
    model: ['MODEL', {}],
    clip: ['CLIP', {}],
    lora_name: [{ folder: 'loras' }, {}],
    strength_model: ['FLOAT', { default: 1, min: -100, max: 100, step: 0.01 }],
    strength_clip: ['FLOAT', { default: 1, min: -100, max: 100, step: 0.01 }],
  },
  outputs: ['MODEL', 'CLIP'],
  run: ({ model, clip, lora_name, strength_model, strength_clip }, context) =>
    loraApplied({ model, clip, name: lora_name, strength: strength_model, clipStrength: strength_clip }, context),
});

const loraLoaderModelOnlyNode = defineNode({
  name: 'LoraLoaderModelOnly',
  displayName: 'LoraLoaderModelOnly',
  category: 'loaders',
  module: 'nodes',
  required: {
    model: ['MODEL'],
    lora_name: [{ folder: 'loras' }],
    strength_model: ['FLOAT', { default: 1, min: -100, max: 100, step: 0.01 }],
  },
  outputs: ['MODEL'],
  async run({ model, lora_name, strength_model }, context) {
    return (await loraApplied({ model, name: lora_name, strength: strength_model, clipStrength: 0 }, context)).slice(
      0,
      1,
    );
  },
});

const modelMergeSimpleNode = defineNode({
  name: 'ModelMergeSimple',
  displayName: 'ModelMergeSimple',
  category: 'advanced/model_merging',
  module: 'comfy_extras.nodes_model_merging',
  required: {
    model1: ['MODEL'],
    model2: ['MODEL'],
    ratio: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['MODEL'],
  run: ({ model1, model2, ratio }) => [mixture(model1, model2, () => ratio)],
});

const modelMergeBlocksNode = defineNode({
  name: 'ModelMergeBlocks',
  displayName: 'ModelMergeBlocks',
  category: 'advanced/model_merging',
  module: 'comfy_extras.nodes_model_merging',
  required: {
    model1: ['MODEL'],
    model2: ['MODEL'],
    input: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
    middle: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
    out: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['MODEL'],
  run: ({ model1, model2, input, middle, out }) => [mixture(model1, model2, sharesByPrefix({ input, middle, out }))],
});

const modelMergeAddNode = defineNode({
  name: 'ModelMergeAdd',
  displayName: 'ModelMergeAdd',
  category: 'advanced/model_merging',
  module: 'comfy_extras.nodes_model_merging',
  required: {
    model1: ['MODEL'],
    model2: ['MODEL'],
  },
  outputs: ['MODEL'],
  run: ({ model1, model2 }) => [sum(model1, model2)],
});

const modelMergeSubtractNode = defineNode({
  name: 'ModelMergeSubtract',
  displayName: 'ModelMergeSubtract',
  category: 'advanced/model_merging',
  module: 'comfy_extras.nodes_model_merging',
  required: {
    model1: ['MODEL'],
    model2: ['MODEL'],
    multiplier: ['FLOAT', { default: 1, min: -10, max: 10, step: 0.01 }],
  },
  outputs: ['MODEL'],
  run: ({ model1, model2, multiplier }) => [difference(model1, model2, multiplier)],
});

const clipMergeSimpleNode = defineNode({
  name: 'CLIPMergeSimple',
  displayName: 'CLIPMergeSimple',
  category: 'advanced/model_merging',
  module: 'comfy_extras.nodes_model_merging',
  required: {
    clip1: ['CLIP'],
    clip2: ['CLIP'],
    ratio: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['CLIP'],
  run: ({ clip1, clip2, ratio }) => [mixture(clip1, clip2, () => ratio)],
});

const clipMergeAddNode = defineNode({
  name: 'CLIPMergeAdd',
  displayName: 'CLIPMergeAdd',
  category: 'advanced/model_merging',
  module: 'comfy_extras.nodes_model_merging',
  required: {
    clip1: ['CLIP'],
    clip2: ['CLIP'],
  },
  outputs: ['CLIP'],
  run: ({ clip1, clip2 }) => [sum(clip1, clip2)],
});

const clipMergeSubtractNode = defineNode({
  name: 'CLIPMergeSubtract',
  displayName: 'CLIPMergeSubtract',
  category: 'advanced/model_merging',
  module: 'comfy_extras.nodes_model_merging',
  required: {
    clip1: ['CLIP'],
    clip2: ['CLIP'],
    multiplier: ['FLOAT', { default: 1, min: -10, max: 10, step: 0.01 }],
  },
  outputs: ['CLIP'],
  run: ({ clip1, clip2, multiplier }) => [difference(clip1, clip2, multiplier)],
});

export const mergingNodes: readonly NodeType[] = [
  loraLoaderNode,
  loraLoaderModelOnlyNode,
  modelMergeSimpleNode,
  modelMergeBlocksNode,
  modelMergeAddNode,
  modelMergeSubtractNode,
  clipMergeSimpleNode,
  clipMergeAddNode,
  clipMergeSubtractNode,
];
