/**
 * SolverTime: a point of the diffusion's time as the exponential integrators (DPM-Solver, DEIS, UniPC) know it, x = alpha x_0 + sigma eps
 * with alpha² + sigma² = 1, and the ways to choose such points and to evaluate a model there.
 */

import { StableDiffusionError } from '../errors.ts';
import { linearCombination, scale } from '../tensor/arithmetic.ts';
import { linspaceFloat32 } from './beta-schedule.ts';
import type { Denoiser, DiffusionModel, Latent } from './denoiser.ts';
import type { NoiseSchedule } from './noise-schedule.ts';
import { type Prediction, predictionAt } from './parameterization.ts';

export interface SolverTime {
  /** The timestep that the network gets. */
  readonly timestep: number;
  readonly alpha: number;
  /** 0 only at the end. */
  readonly sigma: number;
}

/** lambda = log(alpha / sigma), half the logarithm of the signal-to-noise ratio; infinite where sigma is 0. In float32 as the originals, whose differences of it show the rounding. */
export function halfLogSnr({ alpha, sigma }: SolverTime): number {
  return Math.fround(Math.fround(Math.log(alpha)) - Math.fround(Math.log(sigma)));
}

/** The time of a sigma of the variance-exploding space, sigma / alpha. In float32 as diffusers' `_sigma_to_alpha_sigma_t`. */
export function timeOfSigma(sigma: number, timestep: number): SolverTime {
  const alpha = Math.fround(1 / Math.fround(Math.sqrt(Math.fround(Math.fround(sigma * sigma) + 1))));
  return { timestep, alpha, sigma: Math.fround(sigma * alpha) };
}

/** Evaluates the model at x and a time: its eps and x_0. */
export type Evaluate = (x: Latent, time: SolverTime) => Promise<Prediction>;

/** Changes the guess of the clean latent; the noise is then worked out from it. */
export type ReviseX0 = (x0: Latent) => Latent | Promise<Latent>;

function epsOf(x: Latent, x0: Latent, { alpha, sigma }: SolverTime): Latent {
  return linearCombination([1 / sigma, x], [-alpha / sigma, x0]);
}

/** The gradient of a guide's log-probability with respect to x, times the scale, at a timestep as the network gets it. */
export type GuidanceGradient = (x: Latent, timestep: number, signal?: AbortSignal) => Promise<Latent>;

/** An evaluation guided by a gradient (DPM-Solver's `guidance_type` classifier): eps - sigma · gradient. */
export function guidedEvaluation(evaluate: Evaluate, gradient: GuidanceGradient, signal?: AbortSignal): Evaluate {
  return async (x, time) => {
    const { eps } = await evaluate(x, time);
    const turned = linearCombination([1, eps], [-time.sigma, await gradient(x, time.timestep, signal)]);
    return predictionAt('eps', turned, x, time.alpha, time.sigma);
  };
}

/** An evaluation whose guess of the clean latent is changed. */
export function revisedEvaluation(evaluate: Evaluate, reviseX0: ReviseX0): Evaluate {
  return async (x, time) => {
    const x0 = await reviseX0((await evaluate(x, time)).x0);
    return { x0, eps: epsOf(x, x0, time) };
  };
}

/** Evaluation of a network. */
export function evaluateModel(
  model: DiffusionModel,
  options: { readonly reviseX0?: ReviseX0 | undefined; readonly signal?: AbortSignal | undefined } = {},
): Evaluate {
  const { reviseX0, signal } = options;
  const evaluate: Evaluate = async (x, time) => {
    const output = await model.predict(x, time.timestep, signal);
    return predictionAt(model.parameterization, output, x, time.alpha, time.sigma);
  };
  return reviseX0 ? revisedEvaluation(evaluate, reviseX0) : evaluate;
}

/** Evaluation of a denoiser of the variance-exploding space. */
export function evaluateDenoiser(denoise: Denoiser, signal?: AbortSignal): Evaluate {
  return async (x, time) => {
    const x0 = await denoise(scale(x, 1 / time.alpha), time.sigma / time.alpha, signal);
    return { x0, eps: epsOf(x, x0, time) };
  };
}

/** How DPM-Solver and UniPC spread their steps: evenly in time, in its square root, or in log SNR. */
export type SolverSpacing = (typeof solverSpacings)[number];
export const solverSpacings = ['time_uniform', 'time_quadratic', 'logSNR'] as const;

export interface ContinuousTime {
  /** The point at t in [1 / T, 1]; the k-th trained timestep is t = (k + 1) / T. */
  at(t: number): SolverTime;
  /** t from halfLogSnr. */
  ofHalfLogSnr(lambda: number): number;
  /** `count` + 1 points in time from `start` (default 1) to `end` (default 1 / T). */
  spread(spacing: SolverSpacing, count: number, start?: number, end?: number): number[];
}

/**
 * Continuous time over a trained schedule: log alpha is linear between timesteps (NoiseScheduleVP('discrete') of Lu et al.'s code,
 * which CompVis ships as ldm/models/diffusion/dpm_solver and A1111 has in its UniPC). The original multiplies t by 1000 for any T;
 * here it is T, which is the same for SD.
 */
export function continuousTime(schedule: NoiseSchedule): ContinuousTime {
  const { trainTimesteps: count, alphasCumprod } = schedule;
  const times = linspaceFloat32(0, 1, count + 1).slice(1);
  const logAlphas = alphasCumprod.map((alphaBar) => 0.5 * Math.log(alphaBar));

  /** Piecewise linear interpolation with extrapolation at the ends; `xs` ascend or descend. */
  function interpolate(x: number, xs: Float32Array, ys: Float32Array): number {
    if (count === 1) return ys[0] as number;
    const ascending = (xs[count - 1] as number) > (xs[0] as number);
    let low = 0;
    let high = count - 1;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (ascending === (xs[middle] as number) <= x) low = middle;
      else high = middle;
    }
    const [x0, x1, y0, y1] = [xs[low], xs[high], ys[low], ys[high]] as [number, number, number, number];
    return y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
  }

  const at = (t: number): SolverTime => {
    const logAlpha = interpolate(t, times, logAlphas);
    const timestep = Math.fround(Math.fround(t - Math.fround(1 / count)) * count);
    return { timestep, alpha: Math.exp(logAlpha), sigma: Math.sqrt(-Math.expm1(2 * logAlpha)) };
  };
  const ofHalfLogSnr = (lambda: number) => {
    // log alpha = -log(1 + exp(-2 lambda)) / 2, without overflow
    const logAlpha = -0.5 * (Math.max(0, -2 * lambda) + Math.log1p(Math.exp(-Math.abs(2 * lambda))));
    return interpolate(logAlpha, logAlphas, times);
  };
  return {
    at,
    ofHalfLogSnr,
    spread(spacing, steps, start = 1, end = 1 / count) {
      switch (spacing) {
        case 'time_uniform':
          return Array.from(linspaceFloat32(start, end, steps + 1));
        case 'time_quadratic':
          return Array.from(linspaceFloat32(Math.sqrt(start), Math.sqrt(end), steps + 1), (root) =>
            Math.fround(root * root),
          );
        case 'logSNR':
          return Array.from(linspaceFloat32(halfLogSnr(at(start)), halfLogSnr(at(end)), steps + 1), ofHalfLogSnr);
        default:
          throw new StableDiffusionError(
            'invalid-argument',
            `Unknown spacing ${JSON.stringify(spacing)}. Available: time_uniform, time_quadratic, logSNR.`,
          );
      }
    },
  };
}
