/**
 * The part of a run in which a control acts: from `start` to `end`, shares of the steps. The programs count differently.
 *
 * - `a1111`: not (i / n < start or i / n > end), i the number of finished steps (sd-webui-controlnet `guidance_schedule_handler`).
 * - `diffusers`: not (i / n < start or (i + 1) / n > end) (StableDiffusionControlNetPipeline `controlnet_keep`).
 * - `comfy`: between the noise levels at those shares of the trained timesteps (comfy/controlnet.py `set_cond_hint`).
 * - `tencentarc`: until the last int((1 - end) n) steps (TencentARC/T2I-Adapter `cond_tau`).
 */

import type { NoiseSchedule } from '../noise-schedule.ts';
import { percentToSigma } from '../sigma-schedules/percent-to-sigma.ts';

export const controlWindowRules = ['a1111', 'diffusers', 'comfy', 'tencentarc'] as const;
export type ControlWindowRule = (typeof controlWindowRules)[number];

export interface ControlWindow {
  /** 0 to 1. */
  readonly start: number;
  readonly end: number;
}

/** Where a sampling is. The pipeline counts it up after every step. */
export interface ControlProgress {
  /** Finished steps. */
  finished: number;
  /** Steps that are run. */
  steps: number;
}

/** Whether a noise level is between those at the shares `start` and `end` of the trained timesteps, both included. */
export function isBetweenLevels(
  { start, end }: ControlWindow,
  sigma: number,
  levelAt: (share: number) => number,
): boolean {
  return sigma <= levelAt(start) && sigma >= levelAt(end);
}

/** Whether a control acts in a call at a noise level. */
export function isInWindow(
  rule: ControlWindowRule,
  window: ControlWindow,
  { finished, steps }: ControlProgress,
  sigma: number,
  schedule: NoiseSchedule,
): boolean {
  const { start, end } = window;
  const share = finished / steps;
  switch (rule) {
    case 'a1111':
      return !(share < start || share > end);
    case 'diffusers':
      return !(share < start || (finished + 1) / steps > end);
    case 'comfy':
      return isBetweenLevels(window, sigma, (at) => percentToSigma(schedule, at));
    case 'tencentarc':
      return steps - 1 - finished >= Math.trunc((1 - end) * steps) && share >= start;
  }
}
