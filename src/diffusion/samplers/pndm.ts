/**
 * PNDM: Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds" (arXiv 2202.09778), with its pseudo Runge-Kutta
 * start or, without it, PLMS. As diffusers' PNDMScheduler.
 */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { linearCombination } from '../../tensor/arithmetic.ts';
import type { DiffusionModel, Latent } from '../denoiser.ts';
import { toEps } from '../parameterization.ts';
import type { Sampling } from '../sampler.ts';
import { adamsBashforth } from './plms.ts';
import { sigmaOf } from './timestep-sampler.ts';

export interface PndmCall {
  readonly timestep: number;
  /** The stage of the Runge-Kutta step, 0 … 3; undefined in the linear multistep part. */
  readonly rungeKutta?: 0 | 1 | 2 | 3;
}

export interface PndmPlan {
  /** Model calls in their order. */
  readonly calls: readonly PndmCall[];
  /** Number of trained timesteps in one step. */
  readonly stride: number;
  /** alphas_cumprod below timestep 0. */
  readonly finalAlphaBar: number;
}

/** The calls for ascending timesteps. Runge-Kutta takes four steps at the start and needs that many. */
export function pndmPlan(
  ascending: readonly number[],
  trainTimesteps: number,
  finalAlphaBar: number,
  skipRungeKutta: boolean,
): PndmPlan {
  const steps = ascending.length;
  const stride = Math.floor(trainTimesteps / steps);
  const calls: PndmCall[] = [];
  const last = ascending.toReversed();
  if (skipRungeKutta) {
    // PLMS calls twice at its second timestep: once for the first step's Euler half.
    const doubled = steps > 1 ? [...last.slice(0, 2), ...last.slice(1)] : last;
    calls.push(...doubled.map((timestep) => ({ timestep })));
  } else {
    if (steps < 4)
      throw new StableDiffusionError(
        'invalid-argument',
        `PNDM with Runge-Kutta steps needs at least 4 steps, got ${steps}. Set skip_prk_steps to use fewer.`,
      );
    const half = Math.floor(stride / 2);
    for (const [i, timestep] of last.slice(0, 3).entries()) {
      const next = last[i + 1] as number;
      calls.push(
        { timestep, rungeKutta: 0 },
        { timestep: next + half, rungeKutta: 1 },
        { timestep: next + half, rungeKutta: 2 },
        { timestep: next, rungeKutta: 3 },
      );
    }
    calls.push(...last.slice(3).map((timestep) => ({ timestep })));
  }
  return { calls, stride, finalAlphaBar };
}

/** Runs the calls from x, and yields after each of them. */
export async function* samplePndm(model: DiffusionModel, x: Latent, plan: PndmPlan, signal?: AbortSignal): Sampling {
  const { calls, stride, finalAlphaBar } = plan;
  const { schedule, parameterization } = model;
  const barAt = (timestep: number) => (timestep >= 0 ? schedule.alphaBarAt(timestep) : finalAlphaBar);
  /** Equation 11: from one timestep to another along the model's output at the first. */
  const transfer = (from: Latent, output: Latent, timestep: number, to: number): Latent => {
    const [a, b] = [barAt(timestep), barAt(to)];
    const eps = toEps(parameterization, output, from, a);
    return linearCombination(
      [Math.sqrt(b / a), from],
      [-(b - a) / (a * Math.sqrt(1 - b) + Math.sqrt(a * (1 - a) * b)), eps],
    );
  };
  const history: Latent[] = []; // the latest last
  let latent = x;
  let start = x;
  let startTimestep = 0;
  let sum: Latent | undefined;
  let multistepCalls = 0;
  for (const [i, { timestep, rungeKutta }] of calls.entries()) {
    throwIfAborted(signal);
    const before = latent;
    const output = await model.predict(latent, timestep, signal);
    if (rungeKutta !== undefined) {
      if (rungeKutta === 0) {
        history.push(output);
        start = latent;
        startTimestep = timestep;
        sum = undefined;
      }
      const weighted: readonly [number, Latent] = [rungeKutta === 0 || rungeKutta === 3 ? 1 / 6 : 1 / 3, output];
      sum = sum ? linearCombination([1, sum], weighted) : linearCombination(weighted);
      const half = Math.floor(stride / 2);
      const to = rungeKutta % 2 === 1 ? timestep : timestep - half;
      latent = transfer(start, rungeKutta === 3 ? sum : output, startTimestep, to);
    } else if (history.length === 0) {
      history.push(output);
      start = latent;
      latent = transfer(latent, output, timestep, timestep - stride);
    } else if (multistepCalls === 1 && history.length === 1) {
      const mean = linearCombination([1 / 2, output], [1 / 2, history[0] as Latent]);
      latent = transfer(start, mean, timestep + stride, timestep);
    } else {
      const direction = adamsBashforth(output, history.slice(-3));
      history.push(output);
      if (history.length > 3) history.shift();
      latent = transfer(latent, direction, timestep, timestep - stride);
    }
    if (rungeKutta === undefined) multistepCalls++;
    const alphaBar = barAt(timestep);
    const eps = toEps(parameterization, output, before, alphaBar);
    const denoised = linearCombination([1 / Math.sqrt(alphaBar), before], [-Math.sqrt((1 - alphaBar) / alphaBar), eps]);
    yield { step: i + 1, steps: calls.length, sigma: sigmaOf(alphaBar), latent, denoised };
  }
  return latent;
}
