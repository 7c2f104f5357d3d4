/** Nodes that give hooks, masks and parts of the run to conditionings, one or a pair of them, and join them. */

import type { Tensor } from '../../tensor/tensor.ts';
import { defineNode, type NodeType } from '../definition.ts';
import type { ConditioningValue } from '../values/conditioning.ts';
import { type HooksValue, joinedHooks } from '../values/hooks.ts';

interface Properties {
  readonly strength: number;
  readonly set_cond_area: string;
  readonly mask?: Tensor<'float32'> | undefined;
  readonly hooks?: unknown;
  readonly timesteps?: unknown;
}

const withHooks = (conditioning: ConditioningValue, hooks: unknown): ConditioningValue =>
  hooks === undefined || hooks === null
    ? conditioning
    : conditioning.map((entry) => ({ ...entry, hooks: joinedHooks(entry.hooks, hooks as HooksValue) }));

/** Inputs of all nodes that set properties. */
const areaInputs = {
  strength: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.01 }],
  set_cond_area: [['default', 'mask bounds']],
} as const;
const partInputs = {
  mask: ['MASK'],
  hooks: ['HOOKS'],
  timesteps: ['TIMESTEPS_RANGE'],
} as const;

/** A conditioning with hooks, a mask and a part of the run, as far as they are given. */
function withProperties(
  conditioning: ConditioningValue,
  { strength, set_cond_area, mask, hooks, timesteps }: Properties,
): ConditioningValue {
  const [start_percent, end_percent] = (timesteps ?? []) as readonly [number?, number?];
  return withHooks(conditioning, hooks).map((entry) => ({
    ...entry,
    ...(mask && {
      mask: mask.shape.length < 3 ? { ...mask, shape: [1, ...mask.shape] } : mask,
      set_area_to_bounds: set_cond_area !== 'default',
      mask_strength: strength,
    }),
    ...(start_percent !== undefined && { start_percent, end_percent }),
  }));
}

/** A conditioning that holds where the others do not. */
const asDefault = (conditioning: ConditioningValue, hooks: unknown): ConditioningValue =>
  withHooks(conditioning, hooks).map((entry) => ({ ...entry, default: true }));

const setPropertiesNode = defineNode({
  name: 'ConditioningSetProperties',
  displayName: 'Cond Set Props',
  category: 'advanced/hooks/cond single',
  module: 'comfy_extras.nodes_hooks',
  required: {
    cond_NEW: ['CONDITIONING'],
    ...areaInputs,
  },
  optional: partInputs,
  outputs: ['CONDITIONING'],
  flags: { experimental: true },
  run: ({ cond_NEW, ...properties }) => [withProperties(cond_NEW, properties)],
});

const setPropertiesCombineNode = defineNode({
  name: 'ConditioningSetPropertiesAndCombine',
  displayName: 'Cond Set Props Combine',
  category: 'advanced/hooks/cond single',
  module: 'comfy_extras.nodes_hooks',
  required: {
    cond: ['CONDITIONING'],
    cond_NEW: ['CONDITIONING'],
    ...areaInputs,
  },
  optional: partInputs,
  outputs: ['CONDITIONING'],
  flags: { experimental: true },
  run: ({ cond, cond_NEW, ...properties }) => [[...cond, ...withProperties(cond_NEW, properties)]],
});

const pairSetPropertiesNode = defineNode({
  name: 'PairConditioningSetProperties',
  displayName: 'Cond Pair Set Props',
  category: 'advanced/hooks/cond pair',
  module: 'comfy_extras.nodes_hooks',
  required: {
    positive_NEW: ['CONDITIONING'],
    negative_NEW: ['CONDITIONING'],
    ...areaInputs,
  },
  optional: partInputs,
  outputs: [
    { type: 'CONDITIONING', name: 'positive' },
    { type: 'CONDITIONING', name: 'negative' },
  ],
  flags: { experimental: true },
  run: ({ positive_NEW, negative_NEW, ...properties }) => [
    withProperties(positive_NEW, properties),
    withProperties(negative_NEW, properties),
  ],
});

const pairSetPropertiesCombineNode = defineNode({
  name: 'PairConditioningSetPropertiesAndCombine',
  displayName: 'Cond Pair Set Props Combine',
  category: 'advanced/hooks/cond pair',
  module: 'comfy_extras.nodes_hooks',
  required: {
    positive: ['CONDITIONING'],
    negative: ['CONDITIONING'],
    positive_NEW: ['CONDITIONING'],
    negative_NEW: ['CONDITIONING'],
    ...areaInputs,
  },
  optional: partInputs,
  outputs: [
    { type: 'CONDITIONING', name: 'positive' },
    { type: 'CONDITIONING', name: 'negative' },
  ],
  flags: { experimental: true },
  run: ({ positive, negative, positive_NEW, negative_NEW, ...properties }) => [
    [...positive, ...withProperties(positive_NEW, properties)],
    [...negative, ...withProperties(negative_NEW, properties)],
  ],
});

const setDefaultCombineNode = defineNode({
  name: 'ConditioningSetDefaultCombine',
  displayName: 'Cond Set Default Combine',
  category: 'advanced/hooks/cond single',
  module: 'comfy_extras.nodes_hooks',
  required: {
    cond: ['CONDITIONING'],
    cond_DEFAULT: ['CONDITIONING'],
  },
  optional: {
    hooks: ['HOOKS'],
  },
  outputs: ['CONDITIONING'],
  flags: { experimental: true },
  run: ({ cond, cond_DEFAULT, hooks }) => [[...cond, ...asDefault(cond_DEFAULT, hooks)]],
});

const pairSetDefaultCombineNode = defineNode({
  name: 'PairConditioningSetDefaultCombine',
  displayName: 'Cond Pair Set Default Combine',
  category: 'advanced/hooks/cond pair',
  module: 'comfy_extras.nodes_hooks',
  required: {
    positive: ['CONDITIONING'],
    negative: ['CONDITIONING'],
    positive_DEFAULT: ['CONDITIONING'],
    negative_DEFAULT: ['CONDITIONING'],
  },
  optional: {
    hooks: ['HOOKS'],
  },
  outputs: [
    { type: 'CONDITIONING', name: 'positive' },
    { type: 'CONDITIONING', name: 'negative' },
  ],
  flags: { experimental: true },
  run: ({ positive, negative, positive_DEFAULT, negative_DEFAULT, hooks }) => [
    [...positive, ...asDefault(positive_DEFAULT, hooks)],
    [...negative, ...asDefault(negative_DEFAULT, hooks)],
  ],
});

const pairCombineNode = defineNode({
  name: 'PairConditioningCombine',
  displayName: 'Cond Pair Combine',
  category: 'advanced/hooks/cond pair',
  module: 'comfy_extras.nodes_hooks',
  required: {
    positive_A: ['CONDITIONING'],
    negative_A: ['CONDITIONING'],
    positive_B: ['CONDITIONING'],
    negative_B: ['CONDITIONING'],
  },
  outputs: [
    { type: 'CONDITIONING', name: 'positive' },
    { type: 'CONDITIONING', name: 'negative' },
  ],
  flags: { experimental: true },
  run: ({ positive_A, negative_A, positive_B, negative_B }) => [
    [...positive_A, ...positive_B],
    [...negative_A, ...negative_B],
  ],
});

const timestepsRangeNode = defineNode({
  name: 'ConditioningTimestepsRange',
  displayName: 'Timesteps Range',
  category: 'advanced/hooks',
  module: 'comfy_extras.nodes_hooks',
  required: {
    start_percent: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.001 }],
    end_percent: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.001 }],
  },
  outputs: [
    'TIMESTEPS_RANGE',
    { type: 'TIMESTEPS_RANGE', name: 'BEFORE_RANGE' },
    { type: 'TIMESTEPS_RANGE', name: 'AFTER_RANGE' },
  ],
  flags: { experimental: true },
  run: ({ start_percent, end_percent }) => [
    [start_percent, end_percent],
    [0, start_percent],
    [end_percent, 1],
  ],
});

export const hookConditioningNodes: readonly NodeType[] = [
  setPropertiesNode,
  setPropertiesCombineNode,
  pairSetPropertiesNode,
  pairSetPropertiesCombineNode,
  setDefaultCombineNode,
  pairSetDefaultCombineNode,
  pairCombineNode,
  timestepsRangeNode,
];
