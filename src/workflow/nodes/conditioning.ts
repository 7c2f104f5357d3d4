/** Nodes that mix conditionings, and say where and when they hold. */

import { defineNode, type NodeType } from '../definition.ts';
import { joinTokens, mixed } from '../text/mix.ts';
import { withFields } from '../values/conditioning.ts';

const conditioningAverageNode = defineNode({
  name: 'ConditioningAverage',
  displayName: 'ConditioningAverage',
  category: 'conditioning',
  module: 'nodes',
  required: {
    conditioning_to: ['CONDITIONING'],
    conditioning_from: ['CONDITIONING'],
    conditioning_to_strength: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['CONDITIONING'],
  run: ({ conditioning_to, conditioning_from, conditioning_to_strength }) => [
    mixed(conditioning_to, conditioning_from, conditioning_to_strength),
  ],
});

const conditioningCombineNode = defineNode({
  name: 'ConditioningCombine',
  displayName: 'Conditioning (Combine)',
  category: 'conditioning',
  module: 'nodes',
  required: {
    conditioning_1: ['CONDITIONING'],
    conditioning_2: ['CONDITIONING'],
  },
  outputs: ['CONDITIONING'],
  run: ({ conditioning_1, conditioning_2 }) => [[...conditioning_1, ...conditioning_2]],
});

const conditioningConcatNode = defineNode({
  name: 'ConditioningConcat',
  displayName: 'Conditioning (Concat)',
  category: 'conditioning',
  module: 'nodes',
  required: {
    conditioning_to: ['CONDITIONING'],
    conditioning_from: ['CONDITIONING'],
  },
  outputs: ['CONDITIONING'],
  run: ({ conditioning_to, conditioning_from }) => [joinTokens(conditioning_to, conditioning_from)],
});

const conditioningSetAreaNode = defineNode({
  name: 'ConditioningSetArea',
  displayName: 'Conditioning (Set Area)',
  category: 'conditioning',
  module: 'nodes',
  required: {
    conditioning: ['CONDITIONING'],
    width: ['INT', { default: 64, min: 64, max: 16384, step: 8 }],
    height: ['INT', { default: 64, min: 64, max: 16384, step: 8 }],
    x: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
    y: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
    strength: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.01 }],
  },
  outputs: ['CONDITIONING'],
  run: ({ conditioning, width, height, x, y, strength }) => [
    withFields(conditioning, {
      area: [height >> 3, width >> 3, y >> 3, x >> 3],
      strength,
      set_area_to_bounds: false,
    }),
  ],
});

const conditioningSetAreaPercentageNode = defineNode({
  name: 'ConditioningSetAreaPercentage',
  displayName: 'Conditioning (Set Area with Percentage)',
  category: 'conditioning',
  module: 'nodes',
  required: {
    conditioning: ['CONDITIONING'],
    width: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
    height: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
    x: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.01 }],
    y: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.01 }],
    strength: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.01 }],
  },
  outputs: ['CONDITIONING'],
  run: ({ conditioning, width, height, x, y, strength }) => [
    withFields(conditioning, { area: ['percentage', height, width, y, x], strength, set_area_to_bounds: false }),
  ],
});

const conditioningSetAreaStrengthNode = defineNode({
  name: 'ConditioningSetAreaStrength',
  displayName: 'ConditioningSetAreaStrength',
  category: 'conditioning',
  module: 'nodes',
  required: {
    conditioning: ['CONDITIONING'],
    strength: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.01 }],
  },
  outputs: ['CONDITIONING'],
  run: ({ conditioning, strength }) => [withFields(conditioning, { strength })],
});

const conditioningSetMaskNode = defineNode({
  name: 'ConditioningSetMask',
  displayName: 'Conditioning (Set Mask)',
  category: 'conditioning',
  module: 'nodes',
  required: {
    conditioning: ['CONDITIONING'],
    mask: ['MASK'],
    strength: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.01 }],
    set_cond_area: [['default', 'mask bounds']],
  },
  outputs: ['CONDITIONING'],
  run: ({ conditioning, mask, strength, set_cond_area }) => [
    withFields(conditioning, {
      mask: mask.shape.length < 3 ? { ...mask, shape: [1, ...mask.shape] } : mask,
      set_area_to_bounds: set_cond_area !== 'default',
      mask_strength: strength,
    }),
  ],
});

const conditioningZeroOutNode = defineNode({
  name: 'ConditioningZeroOut',
  displayName: 'ConditioningZeroOut',
  category: 'advanced/conditioning',
  module: 'nodes',
  required: {
    conditioning: ['CONDITIONING'],
  },
  outputs: ['CONDITIONING'],
  run: ({ conditioning }) => [
    conditioning.map((entry) => ({
      ...entry,
      cond: { ...entry.cond, data: new Float32Array(entry.cond.data.length) },
      ...(entry.pooled_output && {
        pooled_output: { ...entry.pooled_output, data: new Float32Array(entry.pooled_output.data.length) },
      }),
    })),
  ],
});

const conditioningSetTimestepRangeNode = defineNode({
  name: 'ConditioningSetTimestepRange',
  displayName: 'ConditioningSetTimestepRange',
  category: 'advanced/conditioning',
  module: 'nodes',
  required: {
    conditioning: ['CONDITIONING'],
    start: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.001 }],
    end: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.001 }],
  },
  outputs: ['CONDITIONING'],
  run: ({ conditioning, start, end }) => [withFields(conditioning, { start_percent: start, end_percent: end })],
});

export const conditioningNodes: readonly NodeType[] = [
  conditioningAverageNode,
  conditioningCombineNode,
  conditioningConcatNode,
  conditioningSetAreaNode,
  conditioningSetAreaPercentageNode,
  conditioningSetAreaStrengthNode,
  conditioningSetMaskNode,
  conditioningZeroOutNode,
  conditioningSetTimestepRangeNode,
];
