/** Converts the strength of an initial image to steps: the part of the schedule to run. */

import type { Sampler } from '../diffusion/sampler.ts';
import type { NoiseConvention } from '../random/noise-source.ts';

/**
 * Rule for counting the steps of an initial image.
 *
 * - `compvis`: the last int(strength * steps) of the schedule's steps (scripts/img2img.py; diffusers counts alike).
 * - `a1111`: `setup_img2img_steps` of modules/sd_samplers_common.py (v1.10.1): one step more than int(strength * steps) for samplers in sigma
 *   space, whose schedule is cut at `steps - t_enc - 1`; for DDIM, PLMS and UniPC int(strength * steps).
 * - `all`: the same function with a given number of steps, as for A1111's second pass ("hires. fix"): as many steps as requested are run, the
 *   last of a schedule of int(steps / strength); for DDIM, PLMS and UniPC one fewer.
 * - `sgm`: the last int(strength · (steps + 1)) levels of the schedule, the final 0 counted (sgm's `Img2ImgDiscretizationWrapper`).
 */
export const strengthRules = ['compvis', 'a1111', 'all', 'sgm'] as const;
export type StrengthRule = (typeof strengthRules)[number];

export interface ScheduleCut {
  /** Steps of the whole schedule. */
  readonly steps: number;
  /** Steps left out at its start. */
  readonly startStep: number;
}

/** A1111 takes no strength for more than this. */
const highest = 0.999;

/** The cut of a request's schedule. The rule's default follows the noise convention: A1111's for A1111's, else CompVis's. */
export function cutOf(request: {
  readonly steps: number;
  readonly strength: number;
  readonly strengthRule?: StrengthRule | undefined;
  readonly noise: NoiseConvention;
}): (space: Sampler['space']) => ScheduleCut {
  const rule = request.strengthRule ?? (request.noise.startsWith('a1111') ? 'a1111' : 'compvis');
  return (space) => strengthSteps(rule, request.steps, request.strength, space);
}

/** `space` is the sampler's. */
export function strengthSteps(
  rule: StrengthRule,
  steps: number,
  strength: number,
  space: Sampler['space'],
): ScheduleCut {
  if (rule === 'compvis') return { steps, startStep: steps - Math.trunc(strength * steps) };
  if (rule === 'sgm') return { steps, startStep: steps + 1 - Math.max(Math.trunc(strength * (steps + 1)), 1) };
  const capped = Math.min(strength, highest);
  // At strength 0 A1111 makes an empty schedule and fails; here nothing is run.
  if (rule === 'all' && strength === 0) return { steps, startStep: steps };
  const whole = rule === 'all' ? Math.trunc(steps / capped) : steps;
  const encoded = rule === 'all' ? steps - 1 : Math.trunc(capped * steps);
  return { steps: whole, startStep: whole - encoded - (space === 'sigma' ? 1 : 0) };
}
