/** HOOKS: changes of a model's weights that hold for some entries of a conditioning alone, by a strength that can change over the run. */

import type { LoraFile } from '../../adapters/lora/lora-file.ts';
import type { WeightSource } from '../../weights/weight-source.ts';

/** From its share of the run on a hook has this part of its strength. */
export interface HookKeyframe {
  readonly strength: number;
  /** From 0 (noise) to 1 (picture). */
  readonly startPercent: number;
  /** Steps that it is used for before a later one takes its place, if it does not begin before the run. */
  readonly guaranteedSteps: number;
}

/** HOOK_KEYFRAMES, by their start. */
export type HookKeyframes = readonly HookKeyframe[];

export interface WeightHook {
  readonly holdsNetworks: true;
  /** Copies with other keyframes share it. */
  readonly ref: object;
  readonly source:
    | { readonly kind: 'lora'; readonly lora: LoraFile }
    | { readonly kind: 'model'; readonly unet: WeightSource; readonly encoders: readonly WeightSource[] };
  readonly strength: number;
  readonly clipStrength: number;
  readonly keyframes?: HookKeyframes | undefined;
}

export type HooksValue = readonly WeightHook[];

/** Hooks one behind the other; of copies of one hook the first counts. */
export function joinedHooks(...groups: readonly (HooksValue | undefined)[]): HooksValue | undefined {
  const given = groups.flatMap((group) => (group ? [group] : []));
  if (given.length < 2) return given[0];
  const all = new Map<object, WeightHook>();
  for (const hook of given.flat()) if (!all.has(hook.ref)) all.set(hook.ref, hook);
  return [...all.values()];
}

/** Keyframes with further ones, by their start; of equal starts in their order. */
export const joinedKeyframes = (before: HookKeyframes | undefined, more: HookKeyframes): HookKeyframes =>
  [...(before ?? []), ...more].sort((a, b) => a.startPercent - b.startPercent);
