/**
 * DPM adaptive: DPM-Solver-12 and -23, Lu et al. 2022 (arXiv 2206.00927), appendix C: two solvers of neighbouring orders are compared at
 * every step, and a PID controller (Söderlind 2003) accepts or rejects it and chooses the next length. After k-diffusion's
 * `sample_dpm_adaptive`.
 *
 * Only the highest sigma and the lowest above 0 matter; it ends at the lowest, not at 0. Every attempt is yielded, including rejected ones.
 * Reads order (2 or 3, default 3), rtol (0.05), atol (0.0078), hInit (0.05), pcoeff (0), icoeff (1), dcoeff (0), acceptSafety (0.81),
 * eta (0), sNoise (1).
 */

import { StableDiffusionError } from '../../errors.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { SamplerStep } from '../sampler.ts';
import type { DpmSolverOptions } from './dpm-fast.ts';
import {
  ancestralTime,
  type DpmSolverInterval,
  firstOrder,
  secondOrder,
  sigmaOf,
  thirdOrder,
} from './dpm-solver-singlestep.ts';
import { pidStepSize } from './pid-step-size.ts';
import { sigmaSampler } from './sigma-sampler.ts';
import { addNoise, derivative, evaluate, sigmaRange, sigmaSteps } from './sigma-steps.ts';

/** One attempt. `steps` is an estimate from the length of the next attempt, and right at the last one. */
export interface AdaptiveStep extends SamplerStep {
  /** True if the attempt changed the latent; otherwise `latent` is unchanged. */
  readonly accepted: boolean;
  /** Its error in units of the tolerance. */
  readonly error: number;
  /** Length of the next attempt, in log sigma. */
  readonly nextLength: number;
  readonly acceptedSteps: number;
  readonly rejectedSteps: number;
}

/** Root of the mean square difference of two solutions, each element in units of max(atol, rtol · size). */
function relativeError(low: Latent, high: Latent, previous: Latent, atol: number, rtol: number): number {
  let sum = 0;
  for (let i = 0; i < low.data.length; i++) {
    const value = low.data[i] as number;
    const tolerance = Math.max(atol, rtol * Math.max(Math.abs(value), Math.abs(previous.data[i] as number)));
    sum += ((value - (high.data[i] as number)) / tolerance) ** 2;
  }
  return Math.sqrt(sum / low.data.length);
}

export async function* sampleDpmAdaptive(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: DpmSolverOptions = {},
): AsyncGenerator<AdaptiveStep, Latent, void> {
  const {
    noise,
    order = 3,
    rtol = 0.05,
    atol = 0.0078,
    hInit = 0.05,
    pcoeff = 0,
    icoeff = 1,
    dcoeff = 0,
    acceptSafety = 0.81,
    eta = 0,
    sNoise = 1,
    signal,
  } = options;
  if (order !== 2 && order !== 3)
    throw new StableDiffusionError('invalid-argument', `The order of DPM adaptive is ${order}; it must be 2 or 3.`);
  if (sigmaSteps(sigmas).length === 0) return x;
  const { max, min } = sigmaRange(sigmas);
  const tEnd = Math.fround(-Math.log(min));
  const pid = pidStepSize({ length: Math.abs(hInit), pcoeff, icoeff, dcoeff, order: eta ? 1.5 : order, acceptSafety });
  let latent = x;
  let previous = x; // the lower-order solution of the last accepted step
  let t = Math.fround(-Math.log(max));
  for (let step = 1, acceptedSteps = 0; t < tEnd - 1e-5; step++) {
    const sigma = sigmaOf(t);
    const tNext = Math.min(tEnd, Math.fround(t + pid.length()));
    if (!(tNext > t))
      throw new StableDiffusionError(
        'not-finite',
        `DPM adaptive cannot continue at sigma ${sigma}: its step size became ${pid.length()}. Use larger rtol and atol.`,
      );
    const { tDown, up } = ancestralTime(t, tNext, tEnd, eta);
    const denoised = await evaluate(denoise, latent, sigma, signal);
    const interval: DpmSolverInterval = {
      denoise,
      x: latent,
      eps: derivative(latent, sigma, denoised),
      t,
      tNext: tDown,
      signal,
    };
    const second = await secondOrder(interval, order === 2 ? 1 / 2 : 1 / 3);
    const low = order === 2 ? firstOrder(interval) : second.x;
    const high = order === 2 ? second.x : await thirdOrder(interval, second.epsBetween);
    const error = relativeError(low, high, previous, atol, rtol);
    if (!Number.isFinite(error))
      throw new StableDiffusionError('not-finite', `DPM adaptive met a latent that is not finite at sigma ${sigma}.`);
    const accepted = pid.propose(error);
    if (accepted) {
      previous = low;
      latent = addNoise(high, noise, sigma, sigmaOf(tNext), sNoise * up);
      t = tNext;
      acceptedSteps++;
    }
    const left = t < tEnd - 1e-5 ? Math.ceil((tEnd - t) / pid.length()) : 0;
    yield {
      step,
      steps: step + left,
      sigma,
      latent,
      denoised,
      accepted,
      error,
      nextLength: pid.length(),
      acceptedSteps,
      rejectedSteps: step - acceptedSteps,
    };
  }
  return latent;
}

export const dpmAdaptive = sigmaSampler({
  name: 'dpm-adaptive',
  title: 'DPM adaptive',
  choosesSteps: true,
  aliases: ['dpm_adaptive', 'k_dpm_ad', 'k_dpm_adaptive', 'sample_dpm_adaptive'],
  usesStepNoise: false,
  sample: sampleDpmAdaptive,
});
