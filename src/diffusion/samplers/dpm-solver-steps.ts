/** The loops of DPM-Solver over given times: multistep, and singlestep in blocks. */

import { throwIfAborted } from '../../errors.ts';
import type { Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import type { Evaluate, SolverTime } from '../solver-time.ts';
import { type DpmStepForm, type Evaluation, multistepDpm, predictsData, singlestepDpm } from './dpm-solver-step.ts';

export interface DpmSolverOptions extends Partial<DpmStepForm> {
  /** 1, 2 (default) or 3. */
  readonly order?: number;
  /** Multistep with fewer than 15 steps: lower orders at the end. Default true. */
  readonly lowerOrderFinal?: boolean;
  /** Order 1 for the last step, as it always is where the last time has no noise. */
  readonly firstOrderFinal?: boolean;
  /** Noise of the steps; needed for the SDE forms. */
  readonly noise?: (() => Latent) | undefined;
  readonly signal?: AbortSignal | undefined;
}

function formOf({ algorithm = 'dpmsolver++', solverType = 'midpoint' }: DpmSolverOptions): DpmStepForm {
  return { algorithm, solverType };
}

/** Runs from x at the first time to the last one; `times` has one more than there are steps. */
export async function* sampleDpmMultistep(
  evaluate: Evaluate,
  x: Latent,
  times: readonly SolverTime[],
  options: DpmSolverOptions = {},
): Sampling {
  const { order = 2, lowerOrderFinal = true, firstOrderFinal = false, noise, signal } = options;
  const form = formOf(options);
  const steps = times.length - 1;
  const evaluations: Evaluation[] = []; // the newest first
  let latent = x;
  for (let i = 0; i < steps; i++) {
    throwIfAborted(signal);
    const [time, to] = [times[i], times[i + 1]] as [SolverTime, SolverTime];
    const { x0, eps } = await evaluate(latent, time);
    evaluations.unshift({ time, output: predictsData(form.algorithm) ? x0 : eps });
    evaluations.length = Math.min(evaluations.length, order);
    const draw = form.algorithm.startsWith('sde') ? noise?.() : undefined;
    const left = lowerOrderFinal && steps < 15 ? steps - i : order;
    const last = i === steps - 1 && (firstOrderFinal || to.sigma === 0);
    const stepOrder = last ? 1 : Math.min(order, i + 1, left);
    latent = multistepDpm(form, latent, evaluations, to, stepOrder, draw);
    yield { step: i + 1, steps, sigma: time.sigma / time.alpha, latent, denoised: x0 };
  }
  return latent;
}

export interface SinglestepOptions extends DpmSolverOptions {
  /** Expand the second point of a block of three as `heun` for any solver type, as in the paper and CompVis but not in diffusers. Default false. */
  readonly heunWithinThree?: boolean;
}

/**
 * Runs blocks of one to three model calls, and yields after each call. `times` are those of the calls and the end; `blocks` are the
 * numbers of calls: [3, 2] is a step of order 3 and one of order 2, five calls in all.
 */
export async function* sampleDpmSinglestep(
  evaluate: Evaluate,
  x: Latent,
  times: readonly SolverTime[],
  blocks: readonly number[],
  options: SinglestepOptions = {},
): Sampling {
  const { heunWithinThree = false, noise, signal } = options;
  const form = formOf(options);
  const steps = times.length - 1;
  let latent = x;
  let i = 0;
  for (const size of blocks) {
    const start = latent;
    const block: Evaluation[] = [];
    for (let place = 1; place <= size && i < steps; place++, i++) {
      throwIfAborted(signal);
      const [time, to] = [times[i], times[i + 1]] as [SolverTime, SolverTime];
      const { x0, eps } = await evaluate(latent, time);
      block.push({ time, output: predictsData(form.algorithm) ? x0 : eps });
      const draw = form.algorithm.startsWith('sde') ? noise?.() : undefined;
      const stepForm = heunWithinThree && size === 3 && place === 2 ? { ...form, solverType: 'heun' as const } : form;
      latent = singlestepDpm(stepForm, start, block, to, draw);
      yield { step: i + 1, steps, sigma: time.sigma / time.alpha, latent, denoised: x0 };
    }
  }
  return latent;
}

/** Calls of each block for `steps` model calls in all (get_orders_and_timesteps_for_singlestep_solver). */
export function singlestepBlocks(steps: number, order: number): number[] {
  if (order === 1) return new Array(steps).fill(1);
  const whole = Math.floor(steps / order);
  const rest = steps % order;
  if (order === 3 && rest === 0) return [...new Array(whole - 1).fill(3), 2, 1];
  return rest === 0 ? new Array(whole).fill(order) : [...new Array(whole).fill(order), rest];
}
