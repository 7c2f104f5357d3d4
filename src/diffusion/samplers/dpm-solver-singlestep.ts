/**
 * The singlestep DPM-Solvers of order 1, 2 and 3: Lu et al. 2022, "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model
 * Sampling in Around 10 Steps" (arXiv 2206.00927), equation 3.7, algorithms 1 and 2, in the variance-exploding space, where time is
 * t = -log sigma and alpha is 1. After k-diffusion's `DPMSolver`, with its float32 times and levels. Used by DPM fast and DPM adaptive.
 */

import { linearCombination, roundedSum } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import { ancestralStep } from './ancestral-step.ts';
import { derivative, evaluate } from './sigma-steps.ts';

const round = Math.fround;

export interface DpmSolverInterval {
  readonly denoise: Denoiser;
  readonly x: Latent;
  /** The noise the model finds in `x`: (x - denoised) / sigma. */
  readonly eps: Latent;
  /** Start and end as t = -log sigma. */
  readonly t: number;
  readonly tNext: number;
  readonly signal: AbortSignal | undefined;
}

export function sigmaOf(t: number): number {
  return round(Math.exp(-t));
}

/** x moved to time `to` with eps constant. */
function advance({ x, eps, t }: DpmSolverInterval, to: number): Latent {
  return roundedSum(1, x, -sigmaOf(to) * round(Math.expm1(round(to - t))), eps);
}

async function epsAt({ denoise, signal }: DpmSolverInterval, x: Latent, t: number): Promise<Latent> {
  const sigma = sigmaOf(t);
  return derivative(x, sigma, await evaluate(denoise, x, sigma, signal));
}

/** DPM-Solver-1 (which is DDIM). No model call. */
export function firstOrder(interval: DpmSolverInterval): Latent {
  return advance(interval, interval.tNext);
}

export interface SecondOrder {
  readonly x: Latent;
  /** eps at t + r1 h, for the third order to use again. */
  readonly epsBetween: Latent;
}

/** DPM-Solver-2, with its second point at r1 of the way. One model call. */
export async function secondOrder(interval: DpmSolverInterval, r1 = 1 / 2): Promise<SecondOrder> {
  const { eps, t, tNext } = interval;
  const h = round(tNext - t);
  const between = round(t + round(r1 * h));
  const epsBetween = await epsAt(interval, advance(interval, between), between);
  const weight = (sigmaOf(tNext) * Math.expm1(h)) / (2 * r1);
  return { x: linearCombination([1, firstOrder(interval)], [-weight, epsBetween], [weight, eps]), epsBetween };
}

/** DPM-Solver-3, with its points at 1/3 and 2/3 of the way. Two model calls, one where eps at the first point is given. */
export async function thirdOrder(interval: DpmSolverInterval, epsAtFirst?: Latent): Promise<Latent> {
  const { eps, t, tNext } = interval;
  const r1 = 1 / 3;
  const r2 = 2 / 3;
  const h = round(tNext - t);
  const first = round(t + round(r1 * h));
  const second = round(t + round(r2 * h));
  const eps1 = epsAtFirst ?? (await epsAt(interval, advance(interval, first), first));
  const weight1 = sigmaOf(second) * (r2 / r1) * (Math.expm1(r2 * h) / (r2 * h) - 1);
  const eps2 = await epsAt(
    interval,
    linearCombination([1, advance(interval, second)], [-weight1, eps1], [weight1, eps]),
    second,
  );
  const weight2 = (sigmaOf(tNext) / r2) * (Math.expm1(h) / h - 1);
  return linearCombination([1, advance(interval, tNext)], [-weight2, eps2], [weight2, eps]);
}

/** Where an ancestral step from t to `tNext` goes without noise, at most to `tEnd`, and the deviation of the noise that is added then. */
export function ancestralTime(
  t: number,
  tNext: number,
  tEnd: number,
  eta: number,
): { readonly tDown: number; readonly up: number } {
  if (eta === 0) return { tDown: tNext, up: 0 };
  const { down } = ancestralStep(sigmaOf(t), sigmaOf(tNext), eta);
  const tDown = Math.min(tEnd, round(-Math.log(down)));
  return { tDown, up: round(Math.sqrt(Math.max(round(round(sigmaOf(tNext) ** 2) - round(sigmaOf(tDown) ** 2)), 0))) };
}
