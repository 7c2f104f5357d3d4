/**
 * DEIS: Zhang and Chen 2022, "Fast Sampling of Diffusion Models with Exponential Integrator" (arXiv 2204.13902), multistep.
 * Two forms: log-rho over times (diffusers' DEISMultistepScheduler), and "tab" over sigmas (ComfyUI's `deis`), which fits polynomials
 * in the time of the VP schedule.
 */

import { throwIfAborted } from '../../errors.ts';
import { linearCombination, type Term } from '../../tensor/arithmetic.ts';
import { linspaceFloat32 } from '../beta-schedule.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import type { Evaluate, SolverTime } from '../solver-time.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { derivative, evaluate as evaluateAt, sigmaSteps } from './sigma-steps.ts';

export interface DeisOptions {
  /** 1, 2 (default) or 3. */
  readonly order?: number;
  /** Lower orders at the end of fewer than 15 steps. Default true. */
  readonly lowerOrderFinal?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The antiderivative in rho of the Lagrange polynomial in log rho that is 1 at the first node and 0 at the others (up to two).
 * In float32 as the original: the difference of two of them loses digits, which guided trajectories show.
 */
function logRhoIntegral(rho: number, [b, c, d]: readonly number[]): number {
  const f = Math.fround;
  const log = (value: number) => f(Math.log(value));
  const t = log(rho);
  if (b === undefined || c === undefined) return rho;
  if (d === undefined) return f(f(rho * f(f(-log(c) + t) - 1)) / f(log(b) - log(c)));
  const [lb, lc, ld] = [log(b), log(c), log(d)];
  const sum = f(f(f(f(f(lc * f(f(ld - t) + 1)) - f(ld * t)) + ld) + f(t * t)) - f(2 * t));
  return f(f(rho * f(sum + 2)) / f(f(lb - lc) * f(lb - ld)));
}

/** Runs from x at the first time to the last one, whose sigma must be above 0 unless the last step is of order 1. */
export async function* sampleDeis(
  evaluate: Evaluate,
  x: Latent,
  times: readonly SolverTime[],
  options: DeisOptions = {},
): Sampling {
  const { order = 2, lowerOrderFinal = true, signal } = options;
  const steps = times.length - 1;
  const history: { readonly rho: number; readonly eps: Latent }[] = []; // the newest first
  let latent = x;
  for (let i = 0; i < steps; i++) {
    throwIfAborted(signal);
    const [time, to] = [times[i], times[i + 1]] as [SolverTime, SolverTime];
    const { x0, eps } = await evaluate(latent, time);
    history.unshift({ rho: Math.fround(time.sigma / time.alpha), eps });
    history.length = Math.min(history.length, order);
    const left = lowerOrderFinal && steps < 15 ? steps - i : order;
    const used = history.slice(0, to.sigma === 0 ? 1 : Math.min(order, left));
    const from = Math.fround(time.sigma / time.alpha);
    const rho = Math.fround(to.sigma / to.alpha);
    const terms = used.map(({ eps: output }, k): Term => {
      const nodes = used.map((_, j) => (used[(k + j) % used.length] as { rho: number }).rho);
      return [to.alpha * Math.fround(logRhoIntegral(rho, nodes) - logRhoIntegral(from, nodes)), output];
    });
    latent = linearCombination([to.alpha / time.alpha, latent], ...terms);
    yield { step: i + 1, steps, sigma: from, latent, denoised: x0 };
  }
  return latent;
}

/** The VP schedule that the table form integrates in: beta_0 and beta_1 of sigma from 0.002 at t = 0.001 to 80 at 1. */
function vpSchedule(): { readonly min: number; readonly d: number } {
  const [low, high] = [Math.log(0.002 ** 2 + 1), Math.log(80 ** 2 + 1)];
  const d = (2 * (low / 1e-3 - high)) / (1e-3 - 1);
  return { d, min: high - 0.5 * d };
}

const samplesOfIntegral = 10_000;

/** Coefficients of the slopes (the newest first) of a step between two sigmas, by a sum over 10,000 points as the original. */
function tableCoefficients(sigmas: ArrayLike<number>, step: number, order: number): number[] {
  const { d, min } = vpSchedule();
  const timeOf = (sigma: number) => (Math.sqrt(min * min + 2 * d * Math.log(sigma * sigma + 1)) - min) / d;
  const nodes = Array.from({ length: order }, (_, k) => timeOf(sigmas[step - k] as number));
  const [from, to] = [nodes[0] as number, timeOf(sigmas[step + 1] as number)];
  const taus = linspaceFloat32(from, to, samplesOfIntegral);
  const sums = new Array<number>(order).fill(0);
  for (const tau of taus) {
    const alpha = Math.exp(-0.5 * tau * tau * d - tau * min);
    const integrand = (0.5 * (tau * d + min)) / Math.sqrt(alpha * (1 - alpha));
    for (let j = 0; j < order; j++) {
      let polynomial = 1;
      for (let k = 0; k < order; k++)
        if (k !== j) polynomial *= (tau - (nodes[k] as number)) / ((nodes[j] as number) - (nodes[k] as number));
      sums[j] = (sums[j] as number) + integrand * polynomial;
    }
  }
  return sums.map((sum) => (sum * (to - from)) / samplesOfIntegral);
}

/** Settings: `order` (1, 2 or 3, default 3). */
export async function* sampleDeisSigma(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: Partial<SigmaSamplerOptions> = {},
): Sampling {
  const { order = 3, signal } = options;
  const slopes: Latent[] = []; // the newest first
  let latent = x;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const denoised = await evaluateAt(denoise, latent, sigma, signal);
    slopes.unshift(derivative(latent, sigma, denoised));
    slopes.length = Math.min(slopes.length, order);
    const coefficients =
      next <= 0 || slopes.length === 1 ? [next - sigma] : tableCoefficients(sigmas, step - 1, slopes.length);
    latent = linearCombination(
      [1, latent],
      ...coefficients.map((coefficient, k): Term => [coefficient, slopes[k] as Latent]),
    );
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export const deis = sigmaSampler({
  name: 'deis',
  title: 'DEIS',
  aliases: ['sample_deis'],
  usesStepNoise: false,
  sample: sampleDeisSigma,
});
