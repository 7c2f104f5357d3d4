/**
 * UniPC: Zhao et al. 2023, "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models" (arXiv 2302.04867),
 * multistep with B(h) of either kind. As the authors' uni_pc.py, which A1111 and ComfyUI carry, and as diffusers' UniPCMultistepScheduler.
 */

import { throwIfAborted } from '../../errors.ts';
import { linearCombination, scale, type Term } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampler, SamplerStep, Sampling } from '../sampler.ts';
import {
  continuousTime,
  type Evaluate,
  evaluateDenoiser,
  halfLogSnr,
  type SolverSpacing,
  solverSpacings,
  type SolverTime,
  timeOfSigma,
} from '../solver-time.ts';
import { evaluateRequest, startAtTime } from './dpm-solver.ts';
import { type Evaluation, transition } from './dpm-solver-step.ts';
import { checkRequest } from './request.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { evaluate, sigmaSteps } from './sigma-steps.ts';

export interface UniPcOptions {
  /** B(h) = h (`bh1`, default) or e^h - 1 (`bh2`). */
  readonly variant?: 'bh1' | 'bh2';
  /** Default 3. */
  readonly order?: number;
  /** Integrate the clean latent (default) or the noise. */
  readonly predictX0?: boolean;
  /** Lower orders in the last steps. Default true. */
  readonly lowerOrderFinal?: boolean;
  /** Steps, from 0, after which the corrector is left out. */
  readonly uncorrectedSteps?: readonly number[];
  readonly signal?: AbortSignal | undefined;
}

/** Solves the linear system `rows` · x = `right` by elimination with pivots; the systems here are of size 1 to 3. */
function solve(rows: readonly (readonly number[])[], right: readonly number[]): number[] {
  const a = rows.map((row, i) => [...row, right[i] as number]);
  const size = a.length;
  const at = (i: number, j: number) => (a[i] as number[])[j] as number;
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let i = column + 1; i < size; i++) if (Math.abs(at(i, column)) > Math.abs(at(pivot, column))) pivot = i;
    [a[column], a[pivot]] = [a[pivot] as number[], a[column] as number[]];
    for (let i = 0; i < size; i++) {
      if (i === column) continue;
      const factor = at(i, column) / at(column, column);
      for (let j = column; j <= size; j++) (a[i] as number[])[j] = at(i, j) - factor * at(column, j);
    }
  }
  return a.map((_, i) => at(i, size) / at(i, i));
}

/**
 * One update from the newest evaluation's time to `to`. With `arrived`, the model's output at `to`, it is the corrector, else the
 * predictor. `evaluations` are the newest first; `order` - 1 of them before the newest are used.
 */
function update(
  options: Required<Pick<UniPcOptions, 'variant' | 'predictX0'>>,
  x: Latent,
  evaluations: readonly Evaluation[],
  to: SolverTime,
  order: number,
  arrived?: Latent,
): Latent {
  const newest = evaluations[0] as Evaluation;
  const { ratio, gain, hh } = transition(options.predictX0 ? 'dpmsolver++' : 'dpmsolver', newest.time, to);
  const phi1 = Math.expm1(hh);
  const first: Term[] = [[-gain * phi1, newest.output]];
  if (order === 1 && !arrived) return linearCombination([ratio, x], ...first);
  const h = halfLogSnr(to) - halfLogSnr(newest.time);
  const earlier = evaluations.slice(1, order);
  const r = [...earlier.map(({ time }) => (halfLogSnr(time) - halfLogSnr(newest.time)) / h), 1];
  const b = options.variant === 'bh1' ? hh : phi1;
  const rows: number[][] = [];
  const right: number[] = [];
  let phi = phi1 / hh - 1;
  let factorial = 1;
  for (let k = 1; k <= order; k++) {
    rows.push(r.map((value) => value ** (k - 1)));
    right.push((phi * factorial) / b);
    factorial *= k + 1;
    phi = phi / hh - 1 / factorial;
  }
  let rho: number[];
  if (arrived) rho = order === 1 ? [0.5] : solve(rows, right);
  else
    rho =
      order === 2
        ? [0.5]
        : solve(
            rows.slice(0, -1).map((row) => row.slice(0, -1)),
            right.slice(0, -1),
          );
  // - gain B(h) Σ rho_k (m_k - m_0) / r_k, and for the corrector the output at `to` with r = 1
  let newestWeight = 0;
  const terms: Term[] = earlier.map(({ output }, k): Term => {
    const weight = (-gain * b * (rho[k] as number)) / (r[k] as number);
    newestWeight -= weight;
    return [weight, output];
  });
  if (arrived) {
    const weight = -gain * b * (rho.at(-1) as number);
    newestWeight -= weight;
    terms.push([weight, arrived]);
  }
  return linearCombination([ratio, x], [-gain * phi1 + newestWeight, newest.output], ...terms);
}

export interface UniPcStep extends SamplerStep {
  /** The state before this step, as the corrector left it. */
  readonly corrected: Latent;
}

/** Runs from x at the first time to the last one; one model call a step, which serves the corrector and the next predictor. */
export async function* sampleUniPc(
  evaluate: Evaluate,
  x: Latent,
  times: readonly SolverTime[],
  options: UniPcOptions = {},
): AsyncGenerator<UniPcStep, Latent, void> {
  const {
    variant = 'bh1',
    predictX0 = true,
    order = 3,
    lowerOrderFinal = true,
    uncorrectedSteps = [],
    signal,
  } = options;
  const steps = times.length - 1;
  const evaluations: Evaluation[] = []; // the newest first
  let latent = x;
  let before = x;
  let orderBefore = 1;
  for (let i = 0; i < steps; i++) {
    throwIfAborted(signal);
    const [time, to] = [times[i], times[i + 1]] as [SolverTime, SolverTime];
    const { x0, eps } = await evaluate(latent, time);
    const output = predictX0 ? x0 : eps;
    if (i > 0 && !uncorrectedSteps.includes(i - 1))
      latent = update({ variant, predictX0 }, before, evaluations, time, orderBefore, output);
    evaluations.unshift({ time, output });
    evaluations.length = Math.min(evaluations.length, order);
    orderBefore = to.sigma === 0 ? 1 : Math.min(order, i + 1, lowerOrderFinal ? steps - i : order);
    before = latent;
    latent = update({ variant, predictX0 }, latent, evaluations, to, orderBefore);
    yield { step: i + 1, steps, sigma: time.sigma / time.alpha, latent, denoised: x0, corrected: before };
  }
  return latent;
}

/** A run of one step: the original's loop then only evaluates, and x is left in the scale of the last level. */
async function* withoutUpdate(
  denoise: Denoiser,
  x: Latent,
  [sigma, first, last]: readonly [number, SolverTime, SolverTime],
  signal: AbortSignal | undefined,
): Sampling {
  const denoised = await evaluate(denoise, x, sigma, signal);
  const latent = scale(x, first.alpha / last.alpha);
  yield { step: 1, steps: 1, sigma, latent, denoised };
  return latent;
}

/** Runs UniPC over the sigmas of k-diffusion, as ComfyUI: sigma 0 at the end is taken as 0.001. */
export async function* sampleUniPcSigma(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: Partial<SigmaSamplerOptions> & Pick<UniPcOptions, 'variant'> = {},
): Sampling {
  if (sigmaSteps(sigmas).length === 0) return x;
  const times = Array.from(sigmas, (sigma) => timeOfSigma(sigma === 0 ? 0.001 : sigma, 0));
  const last = times.at(-1) as SolverTime;
  if (times.length === 2)
    return yield* withoutUpdate(denoise, x, [Number(sigmas[0]), times[0] as SolverTime, last], options.signal);
  const order = Math.min(options.order ?? 3, Math.max(1, times.length - 2));
  const sampling = sampleUniPc(
    evaluateDenoiser(denoise, options.signal),
    scale(x, (times[0] as SolverTime).alpha),
    times,
    { order, variant: options.variant ?? 'bh1', signal: options.signal },
  );
  for (;;) {
    const next = await sampling.next();
    if (next.done) return scale(next.value, 1 / last.alpha);
    const { step, sigma, latent, denoised } = next.value;
    yield {
      step,
      steps: times.length - 1,
      sigma,
      denoised,
      latent: scale(latent, 1 / (times[step] as SolverTime).alpha),
    };
  }
}

/**
 * As A1111: schedules `time_uniform` (default), `time_quadratic`, `logSNR`. Settings: `order` (default 3), `variant` (default `bh1`),
 * `predictX0`, `lowerOrderFinal`.
 */
export const uniPc: Sampler = {
  name: 'unipc',
  title: 'UniPC',
  aliases: ['UniPCSampler', 'uni_pc'],
  space: 'timestep',
  spacings: solverSpacings,
  usesStepNoise: false,
  run(request) {
    checkRequest(request, false);
    const { order = 3, variant = 'bh1', predictX0 = true, lowerOrderFinal = true } = request.settings ?? {};
    const time = continuousTime(request.model.schedule);
    const times = time
      .spread((request.schedule ?? 'time_uniform') as SolverSpacing, request.steps)
      .map(time.at)
      .slice(request.startStep ?? 0);
    return sampleUniPc(evaluateRequest(request), startAtTime(request, times[0] as SolverTime), times, {
      order,
      variant,
      predictX0,
      lowerOrderFinal,
      signal: request.signal,
    });
  },
};

/** As ComfyUI, over any sigma schedule. */
export const uniPcSigma = sigmaSampler({
  name: 'k-unipc',
  title: 'UniPC (sigma)',
  aliases: ['sample_unipc'],
  usesStepNoise: false,
  discardsNextToLastSigma: true,
  sample: sampleUniPcSigma,
});

/** As `uniPcSigma`, with B(h) = e^h - 1. */
export const uniPcBh2Sigma = sigmaSampler({
  name: 'k-unipc-bh2',
  title: 'UniPC BH2 (sigma)',
  aliases: ['uni_pc_bh2', 'sample_unipc_bh2'],
  usesStepNoise: false,
  discardsNextToLastSigma: true,
  sample: (denoise, x, sigmas, options) => sampleUniPcSigma(denoise, x, sigmas, { ...options, variant: 'bh2' }),
});
