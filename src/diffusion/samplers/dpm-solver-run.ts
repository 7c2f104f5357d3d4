/**
 * A whole run of DPM-Solver from one time to another by its four methods, as DPM_Solver.sample of CompVis (ldm/models/diffusion/dpm_solver).
 * It works on any schedule: the table of a model, or the continuous ones of `vpTime`.
 */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import type { Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import {
  type ContinuousTime,
  type Evaluate,
  halfLogSnr,
  revisedEvaluation,
  type SolverSpacing,
  type SolverTime,
} from '../solver-time.ts';
import { thresholdedAt } from '../thresholding.ts';
import { type DpmStepForm, type Evaluation, predictsData, singlestepDpm } from './dpm-solver-step.ts';
import { sampleDpmMultistep, sampleDpmSinglestep, singlestepBlocks } from './dpm-solver-steps.ts';

export type DpmMethod = 'multistep' | 'singlestep' | 'singlestep_fixed' | 'adaptive';

export interface DpmRunOptions extends Partial<DpmStepForm> {
  /** Default `multistep`. */
  readonly method?: DpmMethod;
  /** Model calls; `adaptive` chooses its own. */
  readonly steps: number;
  /** 1, 2 (default) or 3; `adaptive` 2 or 3. */
  readonly order?: number;
  /** Default `time_uniform`. */
  readonly spacing?: SolverSpacing;
  readonly lowerOrderFinal?: boolean;
  /** After the last step one more call at the end, whose clean latent is the result. Default false. */
  readonly denoiseToZero?: boolean | undefined;
  /** Dynamic thresholding of the guesses by their 0.995 quantile, at least this. Solvers of the noise threshold the last guess of `denoiseToZero` only, as the original. */
  readonly thresholdAt?: number | undefined;
  /** Times of the start and the end. Default: those of the schedule. */
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  /** Steps left out at the start. */
  readonly startStep?: number | undefined;
  /** `adaptive`: tolerances and the first length in half log SNR. Defaults 0.05, 0.0078, 0.05. */
  readonly rtol?: number | undefined;
  readonly atol?: number | undefined;
  readonly hInit?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Times of the calls of singlestep blocks, and the end. */
function blockTimes(
  time: ContinuousTime,
  { spacing = 'time_uniform', start, end, method }: DpmRunOptions,
  blocks: readonly number[],
): SolverTime[] {
  // Blocks of one size, and those in log SNR, are spread as they are; the others by their calls.
  const whole = spacing === 'logSNR' || method === 'singlestep_fixed';
  const all = time.spread(spacing, whole ? blocks.length : blocks.reduce((sum, size) => sum + size, 0), start, end);
  /** Places in `all` where the blocks begin, and the end. */
  const ends = [0];
  for (const size of blocks) ends.push((ends.at(-1) as number) + (whole ? 1 : size));
  const times: SolverTime[] = [];
  for (const [i, size] of blocks.entries()) {
    const [from, to] = [all[ends[i] as number], all[ends[i + 1] as number]] as [number, number];
    const inner = time.spread(spacing, size, from, to);
    times.push(...inner.slice(0, -1).map(time.at));
    if (i === blocks.length - 1) times.push(time.at(inner.at(-1) as number));
  }
  return times;
}

/** Evaluations of one block from a time to another, up to three, and the latent that each number of them leads to. */
export async function adaptivePair(
  evaluate: Evaluate,
  time: ContinuousTime,
  x: Latent,
  from: SolverTime,
  to: SolverTime,
  { form, order }: { readonly form: DpmStepForm; readonly order: number },
): Promise<{ readonly low: Latent; readonly high: Latent; readonly denoised: Latent }> {
  const lambda = halfLogSnr(from);
  const h = Math.fround(halfLogSnr(to) - lambda);
  const shares = order === 2 ? [0, 1 / 2] : [0, 1 / 3, 2 / 3];
  const block: Evaluation[] = [];
  let latent = x;
  let denoised = x;
  for (const [i, share] of shares.entries()) {
    const at = i === 0 ? from : time.at(time.ofHalfLogSnr(Math.fround(lambda + Math.fround(share * h))));
    if (i > 0) {
      // The third point is expanded as `heun` for any solver type, as in the paper.
      const inner = i === 2 ? { ...form, solverType: 'heun' as const } : form;
      latent = singlestepDpm(inner, x, block, at);
    }
    const { x0, eps } = await evaluate(latent, at);
    if (i === 0) denoised = x0;
    block.push({ time: at, output: predictsData(form.algorithm) ? x0 : eps });
  }
  return {
    low: singlestepDpm(form, x, block.slice(0, -1), to),
    high: singlestepDpm(form, x, block, to),
    denoised,
  };
}

/** The largest of the pictures' mean square errors, each element in units of max(atol, rtol · size). */
function largestError(low: Latent, high: Latent, previous: Latent, atol: number, rtol: number): number {
  const items = low.shape[0] ?? 1;
  const size = low.data.length / items;
  let largest = 0;
  for (let item = 0; item < items; item++) {
    let sum = 0;
    for (let i = item * size; i < (item + 1) * size; i++) {
      const value = low.data[i] as number;
      const tolerance = Math.max(atol, rtol * Math.max(Math.abs(value), Math.abs(previous.data[i] as number)));
      sum += (((high.data[i] as number) - value) / tolerance) ** 2;
    }
    const error = Math.sqrt(sum / size);
    if (!(error <= largest)) largest = error;
  }
  return largest;
}

/** Two solvers of neighbouring orders; one length for the whole batch. Every attempt is yielded, those that are rejected too. */
async function* sampleAdaptive(
  evaluate: Evaluate,
  x: Latent,
  time: ContinuousTime,
  options: DpmRunOptions & { readonly form: DpmStepForm; readonly from: number; readonly to: number },
): Sampling {
  const { order = 2, rtol = 0.05, atol = 0.0078, hInit = 0.05, form, from, to, signal } = options;
  if (order !== 2 && order !== 3)
    throw new StableDiffusionError(
      'invalid-argument',
      `The order of adaptive DPM-Solver is ${order}; it must be 2 or 3.`,
    );
  const end = halfLogSnr(time.at(to));
  let [latent, previous, at] = [x, x, from];
  let lambda = halfLogSnr(time.at(at));
  let h = Math.fround(hInit);
  for (let step = 1; Math.abs(Math.fround(at - to)) > 1e-5; step++) {
    throwIfAborted(signal);
    const now = time.at(at);
    const next = time.ofHalfLogSnr(Math.fround(lambda + h));
    const { low, high, denoised } = await adaptivePair(evaluate, time, latent, now, time.at(next), { form, order });
    const error = largestError(low, high, previous, atol, rtol);
    if (!Number.isFinite(error) || !(h > 0))
      throw new StableDiffusionError(
        'not-finite',
        `Adaptive DPM-Solver cannot continue at t = ${at}: its error is ${error}, its step ${h}. Use larger rtol and atol.`,
      );
    if (error <= 1) {
      [latent, previous, at] = [high, low, next];
      lambda = halfLogSnr(time.at(at));
    }
    // An error of 0 gives an infinite length, which the rest of the way bounds.
    const length = Math.fround(Math.fround(0.9 * h) * Math.fround(error ** (-1 / order)));
    h = Math.min(length, Math.fround(end - lambda));
    const left = Math.abs(Math.fround(at - to)) > 1e-5 ? Math.max(1, Math.ceil((end - lambda) / h)) : 0;
    yield { step, steps: step + left, sigma: now.sigma / now.alpha, latent, denoised };
  }
  return latent;
}

function blocksOf({ method, steps, order = 2 }: DpmRunOptions): number[] {
  if (method !== 'singlestep_fixed') return singlestepBlocks(steps, order);
  const count = Math.floor(steps / order);
  if (count === 0)
    throw new StableDiffusionError(
      'invalid-argument',
      `${steps} model calls are fewer than one block of order ${order}. Use more steps or a lower order.`,
    );
  return new Array<number>(count).fill(order);
}

/** `x` makes the latent of the first time. Throws `invalid-argument`, `not-finite`. */
export async function* runDpmSolver(
  given: Evaluate,
  x: (start: SolverTime) => Latent,
  time: ContinuousTime,
  options: DpmRunOptions,
): Sampling {
  const { method = 'multistep', algorithm = 'dpmsolver++', solverType = 'midpoint', startStep = 0 } = options;
  const { spacing = 'time_uniform', steps, start, end, denoiseToZero, signal } = options;
  const form = { algorithm, solverType };
  const { thresholdAt } = options;
  const thresholding =
    thresholdAt === undefined ? given : revisedEvaluation(given, (x0) => thresholdedAt(x0, thresholdAt));
  const evaluate = predictsData(algorithm) ? thresholding : given;
  const [from, to] = [start ?? time.spread(spacing, 1)[0], end ?? time.spread(spacing, 1)[1]] as [number, number];
  const last = time.at(to);
  let latent: Latent;
  if (method === 'adaptive')
    latent = yield* sampleAdaptive(evaluate, x(time.at(from)), time, { ...options, form, from, to });
  else if (method === 'multistep') {
    const times = time.spread(spacing, steps, start, end).map(time.at).slice(startStep);
    latent = yield* sampleDpmMultistep(evaluate, x(times[0] as SolverTime), times, { ...options, ...form });
  } else {
    const all = blocksOf(options);
    const blocks = [...all];
    let skipped = 0;
    while (startStep > 0 && skipped < startStep) skipped += blocks.shift() ?? startStep;
    const times = blockTimes(time, options, all).slice(skipped);
    latent = yield* sampleDpmSinglestep(evaluate, x(times[0] ?? last), times, blocks, {
      ...options,
      ...form,
      heunWithinThree: true,
    });
  }
  if (!denoiseToZero) return latent;
  throwIfAborted(signal);
  const { x0 } = await thresholding(latent, last);
  yield { step: steps + 1, steps: steps + 1, sigma: last.sigma / last.alpha, latent: x0, denoised: x0 };
  return x0;
}
