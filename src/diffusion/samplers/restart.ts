/**
 * Restart: Xu et al. 2023, "Restart Sampling for Improving Generative Processes" (arXiv 2306.14878), algorithm 1: Heun's method that at a low
 * noise level goes back up to a higher one with fresh noise, and down again, a few times. After A1111's `restart_sampler`.
 * Reads sNoise (default 1) and restarts (default: one around sigma 0.1 to 2 from 20 steps, two from 36, none below).
 */

import type { Denoiser, Latent } from '../denoiser.ts';
import type { Restart, Sampling } from '../sampler.ts';
import { karrasSigmas } from '../sigma-schedules/karras.ts';
import { heunStep } from './heun.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, evaluate, sigmaSteps } from './sigma-steps.ts';

/** Index of the level nearest to `sigma`. */
function nearest(sigmas: ArrayLike<number>, sigma: number): number {
  let best = 0;
  for (let i = 1; i < sigmas.length; i++) {
    if (Math.abs((sigmas[i] as number) - sigma) < Math.abs((sigmas[best] as number) - sigma)) best = i;
  }
  return best;
}

type Move = readonly [sigma: number, next: number];

function pairs(sigmas: ArrayLike<number>): readonly Move[] {
  return Array.from(
    { length: Math.max(sigmas.length - 1, 0) },
    (_, i) => [sigmas[i] as number, sigmas[i + 1] as number] as const,
  );
}

/** The original's choice: the steps of the restarts are part of the requested steps, so their number stays the same. */
function automatic(sigmas: ArrayLike<number>): {
  readonly sigmas: ArrayLike<number>;
  readonly restarts: readonly Restart[];
} {
  const steps = sigmas.length - 1;
  if (steps < 20) return { sigmas, restarts: [] };
  const [restartSteps, times] = steps >= 36 ? [Math.floor(steps / 4), 2] : [9, 1];
  return {
    sigmas: karrasSigmas(steps - restartSteps * times, sigmas[steps - 1] as number, sigmas[0] as number),
    restarts: [{ minSigma: 0.1, maxSigma: 2, steps: restartSteps + 1, times }],
  };
}

/** All moves down, in order; a move that starts above the end of the one before it follows a restart. */
function plan(given: ArrayLike<number>, restarts: readonly Restart[] | undefined): readonly Move[] {
  const { sigmas, restarts: chosen } = restarts ? { sigmas: given, restarts } : automatic(given);
  const byIndex = new Map(chosen.map((restart) => [nearest(sigmas, restart.minSigma), restart]));
  return pairs(sigmas).flatMap((move, i) => {
    const low = i + 1;
    const restart = byIndex.get(low);
    if (!restart) return [move];
    const high = nearest(sigmas, restart.maxSigma);
    if (high >= low) return [move];
    const levels = karrasSigmas(restart.steps, sigmas[low] as number, sigmas[high] as number).slice(0, -1);
    return [move, ...Array.from({ length: restart.times }, () => pairs(levels)).flat()];
  });
}

export type RestartOptions = Partial<Pick<SigmaSamplerOptions, 'noise' | 'sNoise' | 'restarts' | 'signal'>>;

export async function* sampleRestart(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: RestartOptions = {},
): Sampling {
  const { noise, sNoise = 1, restarts, signal } = options;
  sigmaSteps(sigmas); // checks them
  const moves = plan(sigmas, restarts);
  let latent = x;
  let level = moves[0]?.[0] ?? 0;
  for (const [i, [sigma, next]] of moves.entries()) {
    if (level < sigma) latent = addNoise(latent, noise, level, sigma, sNoise * Math.sqrt(sigma ** 2 - level ** 2));
    const denoised = await evaluate(denoise, latent, sigma, signal);
    latent = await heunStep(denoise, latent, denoised, sigma, next, signal);
    level = next;
    yield { step: i + 1, steps: moves.length, sigma, latent, denoised };
  }
  return latent;
}

export const restart = sigmaSampler({
  name: 'restart',
  title: 'Restart',
  callsPerStep: 2,
  aliases: ['restart_sampler'],
  usesStepNoise: true,
  schedule: 'karras',
  sample: sampleRestart,
});
