/** The strengths of hooks over a run: the keyframe that holds at each step. After `HookKeyframeGroup.prepare_current_keyframe` of ComfyUI's hooks.py. */

import type { ActiveHook } from '../hooked.ts';
import type { HookKeyframe, HookKeyframes, HooksValue } from '../values/hooks.ts';

interface Position {
  index: number;
  usedSteps: number;
  sigma: number;
}

/** What a run knows of its hooks: its first level, and where each list of keyframes is. */
export interface HookRun {
  first: number | undefined;
  readonly positions: Map<HookKeyframes, Position>;
}

export const hookRun = (): HookRun => ({ first: undefined, positions: new Map() });

/** The strength of keyframes at a level; asked for once or more at each. */
function keyframeStrength(
  keyframes: HookKeyframes,
  run: HookRun,
  sigma: number,
  percentToSigma: (percent: number) => number,
): number {
  const position = run.positions.get(keyframes) ?? { index: 0, usedSteps: 0, sigma: Number.NaN };
  run.positions.set(keyframes, position);
  const startOf = ({ startPercent }: HookKeyframe): number => percentToSigma(startPercent);
  // A keyframe that begins before the run holds for no step longer than it must.
  const guaranteed = (keyframe: HookKeyframe): number =>
    startOf(keyframe) > (run.first ?? sigma) ? 0 : keyframe.guaranteedSteps;
  const current = (): HookKeyframe => keyframes[position.index] as HookKeyframe;
  if (position.sigma !== sigma) {
    if (position.usedSteps >= guaranteed(current()))
      for (let i = position.index + 1; i < keyframes.length; i++) {
        const next = keyframes[i] as HookKeyframe;
        if (startOf(next) < sigma) break;
        Object.assign(position, { index: i, usedSteps: 0 });
        if (guaranteed(next) > 0) break;
      }
    position.usedSteps += 1;
    position.sigma = sigma;
  }
  return current().strength;
}

/** Hooks with their strengths at a level. */
export function activeHooks(
  hooks: HooksValue,
  run: HookRun,
  sigma: number,
  percentToSigma: (percent: number) => number,
): ActiveHook[] {
  return hooks.map((hook) => {
    const { keyframes = [] } = hook;
    const part = keyframes.length === 0 ? 1 : keyframeStrength(keyframes, run, sigma, percentToSigma);
    return { hook, strength: hook.strength * part };
  });
}
