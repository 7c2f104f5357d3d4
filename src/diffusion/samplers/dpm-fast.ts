/**
 * DPM fast: DPM-Solver-fast, Lu et al. 2022 (arXiv 2206.00927), section 3.4: a given number of model calls is shared out over steps of
 * order 3, with one or two of lower order at the end, even in log sigma. After k-diffusion's `sample_dpm_fast`.
 *
 * Only the highest sigma, the lowest above 0 and their number matter: n sigmas before the last mean n model calls. It ends at the
 * lowest sigma, not at 0. Reads eta (default 0), sNoise (1).
 */

import { linspace } from '../sigma-schedules/sigma-schedule.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import {
  ancestralTime,
  type DpmSolverInterval,
  firstOrder,
  secondOrder,
  sigmaOf,
  thirdOrder,
} from './dpm-solver-singlestep.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, derivative, evaluate, sigmaRange, sigmaSteps } from './sigma-steps.ts';

/** Orders of the steps that make `calls` model calls. */
function orders(calls: number): readonly (1 | 2 | 3)[] {
  const threes = Math.floor(calls / 3);
  switch (calls % 3) {
    case 0:
      return [...Array<3>(threes - 1).fill(3), 2, 1];
    case 1:
      return [...Array<3>(threes).fill(3), 1];
    default:
      return [...Array<3>(threes).fill(3), 2];
  }
}

export type DpmSolverOptions = Partial<SigmaSamplerOptions>;

export async function* sampleDpmFast(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: DpmSolverOptions = {},
): Sampling {
  const { noise, eta = 0, sNoise = 1, signal } = options;
  const calls = sigmaSteps(sigmas).length;
  if (calls === 0) return x;
  const { max, min } = sigmaRange(sigmas);
  const plan = orders(calls);
  const tEnd = Math.fround(-Math.log(min));
  const times = linspace(-Math.log(max), tEnd, plan.length + 1);
  let latent = x;
  for (const [i, order] of plan.entries()) {
    const t = times[i] as number;
    const tNext = times[i + 1] as number;
    const sigma = sigmaOf(t);
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
    if (order === 1) latent = firstOrder(interval);
    else latent = order === 2 ? (await secondOrder(interval)).x : await thirdOrder(interval);
    latent = addNoise(latent, noise, sigma, sigmaOf(tNext), sNoise * up);
    yield { step: i + 1, steps: plan.length, sigma, latent, denoised };
  }
  return latent;
}

export const dpmFast = sigmaSampler({
  name: 'dpm-fast',
  title: 'DPM fast',
  aliases: ['dpm_fast', 'k_dpm_fast', 'sample_dpm_fast'],
  usesStepNoise: false,
  sample: sampleDpmFast,
});
