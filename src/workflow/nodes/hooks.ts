/** Nodes that make hooks: changes of the weights for some entries of a conditioning, joined hooks, and hooks of text encoders. */

import { StableDiffusionError } from '../../errors.ts';
import type { NodeContext } from '../context-in-run.ts';
import { defineNode, type NodeType } from '../definition.ts';
import { hookedClip } from '../hooked.ts';
import { valuesOf } from '../load-model.ts';
import { openLoraFile } from '../lora.ts';
import { type HooksValue, joinedHooks, type WeightHook } from '../values/hooks.ts';

const group = (value: unknown): HooksValue | undefined => (value ?? undefined) as HooksValue | undefined;

/** `hooks_A`, `hooks_B`, … joined. */
const inOrder = (inputs: Readonly<Record<string, unknown>>): HooksValue | undefined =>
  joinedHooks(
    ...Object.keys(inputs)
      .sort()
      .map((name) => group(inputs[name])),
  );

const withHook = (before: unknown, hook: Pick<WeightHook, 'source' | 'strength' | 'clipStrength'>): HooksValue =>
  joinedHooks(group(before), [{ holdsNetworks: true, ref: {}, ...hook }]) ?? [];

async function loraHook(
  before: unknown,
  name: string,
  [strength, clipStrength]: readonly [number, number],
  context: NodeContext,
): Promise<readonly [HooksValue]> {
  if (strength === 0 && clipStrength === 0) return [group(before) ?? []];
  const lora = await openLoraFile(name, context);
  return [withHook(before, { source: { kind: 'lora', lora }, strength, clipStrength })];
}

async function modelHook(
  before: unknown,
  name: string,
  [strength, clipStrength]: readonly [number, number],
  { files, fullTextEncoder }: NodeContext,
): Promise<readonly [HooksValue]> {
  const { model, clip } = valuesOf(await files.checkpoint('checkpoints', name), { fullTextEncoder });
  return [
    withHook(before, {
      source: { kind: 'model', unet: model.network.weights, encoders: clip.encoders.map((one) => one.network.weights) },
      strength,
      clipStrength,
    }),
  ];
}

const strength = ['FLOAT', { default: 1, min: -20, max: 20, step: 0.01 }] as const;

const createHookLoraNode = defineNode({
  name: 'CreateHookLora',
  displayName: 'Create Hook LoRA',
  category: 'advanced/hooks/create',
  module: 'comfy_extras.nodes_hooks',
  required: {
    lora_name: [{ folder: 'loras' }],
    strength_model: strength,
    strength_clip: strength,
  },
  optional: {
    prev_hooks: ['HOOKS'],
  },
  outputs: ['HOOKS'],
  flags: { experimental: true },
  run: ({ lora_name, strength_model, strength_clip, prev_hooks }, context) =>
    loraHook(prev_hooks, lora_name, [strength_model, strength_clip], context),
});

const createHookLoraModelOnlyNode = defineNode({
  name: 'CreateHookLoraModelOnly',
  displayName: 'Create Hook LoRA (MO)',
  category: 'advanced/hooks/create',
  module: 'comfy_extras.nodes_hooks',
  required: {
    lora_name: [{ folder: 'loras' }],
    strength_model: strength,
  },
  optional: {
    prev_hooks: ['HOOKS'],
  },
  outputs: ['HOOKS'],
  flags: { experimental: true },
  run: ({ lora_name, strength_model, prev_hooks }, context) =>
    loraHook(prev_hooks, lora_name, [strength_model, 0], context),
});

const createHookModelNode = defineNode({
  name: 'CreateHookModelAsLora',
  displayName: 'Create Hook Model as LoRA',
  category: 'advanced/hooks/create',
  module: 'comfy_extras.nodes_hooks',
  required: {
    ckpt_name: [{ folder: 'checkpoints' }],
    strength_model: strength,
    strength_clip: strength,
  },
  optional: {
    prev_hooks: ['HOOKS'],
  },
  outputs: ['HOOKS'],
  flags: { experimental: true },
  run: ({ ckpt_name, strength_model, strength_clip, prev_hooks }, context) =>
    modelHook(prev_hooks, ckpt_name, [strength_model, strength_clip], context),
});

const createHookModelModelOnlyNode = defineNode({
  name: 'CreateHookModelAsLoraModelOnly',
  displayName: 'Create Hook Model as LoRA (MO)',
  category: 'advanced/hooks/create',
  module: 'comfy_extras.nodes_hooks',
  required: {
    ckpt_name: [{ folder: 'checkpoints' }],
    strength_model: strength,
  },
  optional: {
    prev_hooks: ['HOOKS'],
  },
  outputs: ['HOOKS'],
  flags: { experimental: true },
  run: ({ ckpt_name, strength_model, prev_hooks }, context) =>
    modelHook(prev_hooks, ckpt_name, [strength_model, 0], context),
});

const combineTwoHooksNode = defineNode({
  name: 'CombineHooks2',
  displayName: 'Combine Hooks [2]',
  category: 'advanced/hooks/combine',
  module: 'comfy_extras.nodes_hooks',
  required: {},
  optional: {
    hooks_A: ['HOOKS'],
    hooks_B: ['HOOKS'],
  },
  outputs: ['HOOKS'],
  flags: { experimental: true },
  run: (inputs) => [inOrder(inputs)],
});

const combineFourHooksNode = defineNode({
  name: 'CombineHooks4',
  displayName: 'Combine Hooks [4]',
  category: 'advanced/hooks/combine',
  module: 'comfy_extras.nodes_hooks',
  required: {},
  optional: {
    hooks_A: ['HOOKS'],
    hooks_B: ['HOOKS'],
    hooks_C: ['HOOKS'],
    hooks_D: ['HOOKS'],
  },
  outputs: ['HOOKS'],
  flags: { experimental: true },
  run: (inputs) => [inOrder(inputs)],
});

const combineEightHooksNode = defineNode({
  name: 'CombineHooks8',
  displayName: 'Combine Hooks [8]',
  category: 'advanced/hooks/combine',
  module: 'comfy_extras.nodes_hooks',
  required: {},
  optional: {
    hooks_A: ['HOOKS'],
    hooks_B: ['HOOKS'],
    hooks_C: ['HOOKS'],
    hooks_D: ['HOOKS'],
    hooks_E: ['HOOKS'],
    hooks_F: ['HOOKS'],
    hooks_G: ['HOOKS'],
    hooks_H: ['HOOKS'],
  },
  outputs: ['HOOKS'],
  flags: { experimental: true },
  run: (inputs) => [inOrder(inputs)],
});

const setClipHooksNode = defineNode({
  name: 'SetClipHooks',
  displayName: 'Set CLIP Hooks',
  category: 'advanced/hooks/clip',
  module: 'comfy_extras.nodes_hooks',
  required: {
    clip: ['CLIP'],
    apply_to_conds: ['BOOLEAN', { default: true }],
    schedule_clip: ['BOOLEAN', { default: false }],
  },
  optional: {
    hooks: ['HOOKS'],
  },
  outputs: ['CLIP'],
  flags: { experimental: true },
  run({ clip, apply_to_conds, schedule_clip, hooks }, { fullTextEncoder = false }) {
    const given = group(hooks);
    if (!given) return [clip];
    if (schedule_clip && given.some(({ keyframes = [] }) => keyframes.length > 0))
      throw new StableDiffusionError(
        'invalid-argument',
        'SetClipHooks: schedule_clip is not supported for hooks with keyframes. Switch it off; the keyframes hold for the model.',
      );
    return [{ ...hookedClip(clip, given, fullTextEncoder), ...(apply_to_conds && { hooks: given }) }];
  },
});

export const hookNodes: readonly NodeType[] = [
  createHookLoraNode,
  createHookLoraModelOnlyNode,
  createHookModelNode,
  createHookModelModelOnlyNode,
  combineTwoHooksNode,
  combineFourHooksNode,
  combineEightHooksNode,
  setClipHooksNode,
];
