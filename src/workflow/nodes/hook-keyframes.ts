/** Nodes of hooks' keyframes: strengths that change over the run. */

import { StableDiffusionError } from '../../errors.ts';
import { defineNode, type NodeType } from '../definition.ts';
import { type HookKeyframe, type HookKeyframes, type HooksValue, joinedKeyframes } from '../values/hooks.ts';

const framesOf = (value: unknown): HookKeyframes | undefined => (value ?? undefined) as HookKeyframes | undefined;

/** `count` numbers from one to another, as float32. */
function spaced(from: number, to: number, count: number): number[] {
  if (count === 1) return [Math.fround(from)];
  const step = (to - from) / (count - 1);
  // PyTorch counts the second half from the end.
  return Array.from({ length: count }, (_, i) =>
    Math.fround(i < count / 2 ? from + step * i : to - step * (count - 1 - i)),
  );
}

const eases: Readonly<Record<string, (x: number) => number>> = {
  linear: (x) => x,
  ease_in: (x) => x ** 2,
  ease_out: (x) => 1 - (1 - x) ** 2,
  ease_in_out: (x) => (1 - Math.cos(x * Math.PI)) / 2,
};

/** Keyframes of strengths evenly over a part of the run; the first one holds for at least a step. */
const evenly = (strengths: readonly number[], from: number, to: number): HookKeyframes =>
  spaced(from, to, strengths.length).map(
    (startPercent, i): HookKeyframe => ({
      strength: strengths[i] as number,
      startPercent,
      guaranteedSteps: i === 0 ? 1 : 0,
    }),
  );

const setHookKeyframesNode = defineNode({
  name: 'SetHookKeyframes',
  displayName: 'Set Hook Keyframes',
  category: 'advanced/hooks/scheduling',
  module: 'comfy_extras.nodes_hooks',
  required: {
    hooks: ['HOOKS'],
  },
  optional: {
    hook_kf: ['HOOK_KEYFRAMES'],
  },
  outputs: ['HOOKS'],
  flags: { experimental: true },
  run: ({ hooks, hook_kf }) => [
    hook_kf === undefined || hook_kf === null
      ? hooks
      : (hooks as HooksValue).map((hook) => ({ ...hook, keyframes: framesOf(hook_kf) })),
  ],
});

const createHookKeyframeNode = defineNode({
  name: 'CreateHookKeyframe',
  displayName: 'Create Hook Keyframe',
  category: 'advanced/hooks/scheduling',
  module: 'comfy_extras.nodes_hooks',
  required: {
    strength_mult: ['FLOAT', { default: 1, min: -20, max: 20, step: 0.01 }],
    start_percent: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.001 }],
  },
  optional: {
    prev_hook_kf: ['HOOK_KEYFRAMES'],
  },
  outputs: [{ type: 'HOOK_KEYFRAMES', name: 'HOOK_KF' }],
  flags: { experimental: true },
  run: ({ strength_mult: strength, start_percent: startPercent, prev_hook_kf }) => [
    joinedKeyframes(framesOf(prev_hook_kf), [{ strength, startPercent, guaranteedSteps: 1 }]),
  ],
});

const createHookKeyframesInterpolatedNode = defineNode({
  name: 'CreateHookKeyframesInterpolated',
  displayName: 'Create Hook Keyframes Interp.',
  category: 'advanced/hooks/scheduling',
  module: 'comfy_extras.nodes_hooks',
  required: {
    strength_start: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.001 }],
    strength_end: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.001 }],
    interpolation: [['linear', 'ease_in', 'ease_out', 'ease_in_out']],
    start_percent: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.001 }],
    end_percent: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.001 }],
    keyframes_count: ['INT', { default: 5, min: 2, max: 100, step: 1 }],
    print_keyframes: ['BOOLEAN', { default: false }],
  },
  optional: {
    prev_hook_kf: ['HOOK_KEYFRAMES'],
  },
  outputs: [{ type: 'HOOK_KEYFRAMES', name: 'HOOK_KF' }],
  flags: { experimental: true },
  run(inputs) {
    const {
      strength_start: from,
      strength_end: to,
      interpolation,
      start_percent,
      end_percent,
      keyframes_count,
    } = inputs;
    const ease = eases[interpolation] ?? ((x: number) => x);
    const strengths =
      interpolation === 'linear'
        ? spaced(from, to, keyframes_count)
        : spaced(0, 1, keyframes_count).map((x) => Math.fround((to - from) * ease(x) + from));
    return [joinedKeyframes(framesOf(inputs.prev_hook_kf), evenly(strengths, start_percent, end_percent))];
  },
});

const createHookKeyframesFromFloatsNode = defineNode({
  name: 'CreateHookKeyframesFromFloats',
  displayName: 'Create Hook Keyframes From Floats',
  category: 'advanced/hooks/scheduling',
  module: 'comfy_extras.nodes_hooks',
  required: {
    floats_strength: ['FLOATS', { default: -1, min: -1, step: 0.001, forceInput: true }],
    start_percent: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.001 }],
    end_percent: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.001 }],
    print_keyframes: ['BOOLEAN', { default: false }],
  },
  optional: {
    prev_hook_kf: ['HOOK_KEYFRAMES'],
  },
  outputs: [{ type: 'HOOK_KEYFRAMES', name: 'HOOK_KF' }],
  flags: { experimental: true },
  run({ floats_strength: given, start_percent, end_percent, prev_hook_kf }) {
    const strengths = typeof given === 'number' ? [given] : given;
    if (!Array.isArray(strengths) || !strengths.every((one) => typeof one === 'number'))
      throw new StableDiffusionError('invalid-argument', 'floats_strength is not a number or a list of numbers.');
    return [joinedKeyframes(framesOf(prev_hook_kf), evenly(strengths, start_percent, end_percent))];
  },
});

export const hookKeyframeNodes: readonly NodeType[] = [
  setHookKeyframesNode,
  createHookKeyframeNode,
  createHookKeyframesInterpolatedNode,
  createHookKeyframesFromFloatsNode,
];
