/** Learning-rate schedules of latent diffusion (`ldm/lr_scheduler.py`): factors on the base rate, by step from 0. */

import * as z from 'zod';
import { configError, mapping, validated } from '../../config/validate.ts';
import { StableDiffusionError } from '../../errors.ts';

/** Factor on the base learning rate at a step. */
export type LearningRateSchedule = (step: number) => number;

/** One factor throughout. */
export function constantRate(): LearningRateSchedule {
  return () => 1;
}

/** `LambdaWarmUpCosineScheduler`: linear from `lr_start` to `lr_max`, then half a cosine to `lr_min` at `max_decay_steps`. */
export function warmUpCosine(config: {
  readonly warm_up_steps: number;
  readonly lr_min: number;
  readonly lr_max: number;
  readonly lr_start: number;
  readonly max_decay_steps: number;
}): LearningRateSchedule {
  const { warm_up_steps: warm, lr_min, lr_max, lr_start, max_decay_steps } = config;
  return (step) => {
    if (step < warm) return ((lr_max - lr_start) / warm) * step + lr_start;
    const t = Math.min((step - warm) / (max_decay_steps - warm), 1);
    return lr_min + 0.5 * (lr_max - lr_min) * (1 + Math.cos(t * Math.PI));
  };
}

/** Settings of schedules that repeat: one number a cycle in each list. */
export interface CyclesConfig {
  readonly warm_up_steps: readonly number[];
  readonly f_start: readonly number[];
  readonly f_max: readonly number[];
  readonly f_min: readonly number[];
  readonly cycle_lengths: readonly number[];
}

interface Cycle {
  readonly warm: number;
  readonly start: number;
  readonly max: number;
  readonly min: number;
  readonly length: number;
  /** Step since the cycle's begin. */
  readonly n: number;
}

/** Finds the cycle of a step. The step equal to a cycle's end still belongs to it. */
function cycleAt(config: CyclesConfig, step: number): Cycle {
  let begin = 0;
  for (const [i, length] of config.cycle_lengths.entries()) {
    const last = i === config.cycle_lengths.length - 1;
    if (step <= begin + length || last) {
      return {
        warm: config.warm_up_steps[i] ?? 0,
        start: config.f_start[i] ?? 0,
        max: config.f_max[i] ?? 1,
        min: config.f_min[i] ?? 0,
        length,
        n: step - begin,
      };
    }
    begin += length;
  }
  throw new StableDiffusionError(
    'config-invalid',
    'A learning-rate schedule needs at least one cycle in cycle_lengths.',
  );
}

function checkCycles(config: CyclesConfig): void {
  const { cycle_lengths, ...lists } = config;
  for (const [name, list] of Object.entries(lists)) {
    if (list.length !== cycle_lengths.length)
      throw new StableDiffusionError(
        'config-invalid',
        `The learning-rate schedule has ${list.length} values of ${name}, and ${cycle_lengths.length} cycles.`,
      );
  }
}

/** `LambdaLinearScheduler`: after the warm-up linear to `f_min` at the cycle's end, as if the descent had started with the cycle (a jump below `f_max`, as in the original). */
export function linearCycles(config: CyclesConfig): LearningRateSchedule {
  checkCycles(config);
  return (step) => {
    const { warm, start, max, min, length, n } = cycleAt(config, step);
    return n < warm ? ((max - start) / warm) * n + start : min + ((max - min) * (length - n)) / length;
  };
}

/** `LambdaWarmUpCosineScheduler2`: cycles of warm-up and half a cosine. */
export function cosineCycles(config: CyclesConfig): LearningRateSchedule {
  checkCycles(config);
  return (step) => {
    const { warm, start, max, min, length, n } = cycleAt(config, step);
    if (n < warm) return ((max - start) / warm) * n + start;
    const t = Math.min((n - warm) / (length - warm), 1);
    return min + 0.5 * (max - min) * (1 + Math.cos(t * Math.PI));
  };
}

/** guided-diffusion's `_anneal_lr`: linear to 0 over `total` steps, set after a step for the next one. */
export const annealAfterSteps =
  (total: number): LearningRateSchedule =>
  (step) =>
    Math.max(0, 1 - Math.max(0, step - 1) / total);

/** `set_annealed_lr` of classifier_train.py: linear to 0 over `total` steps, set before the step. */
export const annealOverSteps =
  (total: number): LearningRateSchedule =>
  (step) =>
    Math.max(0, 1 - step / total);

const numbers = z.array(z.number());
const cyclesSchema = z.object({
  warm_up_steps: numbers,
  f_start: numbers,
  f_max: numbers,
  f_min: numbers,
  cycle_lengths: numbers.min(1),
});
const warmUpSchema = z.object({
  warm_up_steps: z.number(),
  lr_min: z.number(),
  lr_max: z.number(),
  lr_start: z.number(),
  max_decay_steps: z.number(),
});

/** Schedules by the last part of their `target`. */
const targets: Readonly<Record<string, (params: unknown, what: string) => LearningRateSchedule>> = {
  LambdaWarmUpCosineScheduler: (params, what) => warmUpCosine(validated(warmUpSchema, params, what)),
  LambdaWarmUpCosineScheduler2: (params, what) => cosineCycles(validated(cyclesSchema, params, what)),
  LambdaLinearScheduler: (params, what) => linearCycles(validated(cyclesSchema, params, what)),
};

/** The schedule of LDM's `scheduler_config`, `{ target, params }`; null is one factor throughout. Throws `config-invalid`. */
export function ldmSchedule(config: unknown): LearningRateSchedule {
  if (config === null || config === undefined) return constantRate();
  const { target, params } = mapping(config, 'scheduler_config');
  const make = targets[String(target).split('.').at(-1) ?? ''];
  if (!make)
    throw configError(
      `The learning-rate schedule ${String(target)} is not known; ${Object.keys(targets).join(', ')} are.`,
    );
  return make(params, `scheduler_config (${String(target)})`);
}
