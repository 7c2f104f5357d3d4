/**
 * TCD: strategic stochastic sampling of Trajectory Consistency Distillation, Zheng et al. 2024 (arXiv 2402.19159), algorithm 4.
 * As diffusers' TCDScheduler.
 */

import { throwIfAborted } from '../../errors.ts';
import { linearCombination } from '../../tensor/arithmetic.ts';
import type { DiffusionModel, Latent } from '../denoiser.ts';
import { predictionOf } from '../parameterization.ts';
import type { Sampler, Sampling } from '../sampler.ts';
import { consistencyStart } from './lcm.ts';
import { checkRequest, stepNoiseOf } from './request.ts';
import { sigmaOf } from './timestep-sampler.ts';

export interface TcdOptions {
  /** The paper's gamma, 0 (deterministic) to 1: how far each step goes below the next timestep before noise brings it back. Default 0.3. */
  readonly eta?: number;
  readonly noise: () => Latent;
  readonly signal?: AbortSignal | undefined;
}

export async function* sampleTcd(
  model: DiffusionModel,
  x: Latent,
  timesteps: readonly number[],
  options: TcdOptions,
): Sampling {
  const { eta = 0.3, noise, signal } = options;
  const { schedule, parameterization } = model;
  let latent = x;
  for (const [i, timestep] of timesteps.entries()) {
    throwIfAborted(signal);
    const next = timesteps[i + 1] ?? 0;
    const alphaBar = schedule.alphaBarAt(timestep);
    const targetBar = schedule.alphaBarAt(Math.floor((1 - eta) * next));
    const nextBar = schedule.alphaBarAt(next);
    const output = await model.predict(latent, timestep, signal);
    const { x0, eps } = predictionOf(parameterization, output, latent, alphaBar);
    const target = linearCombination([Math.sqrt(targetBar), x0], [Math.sqrt(1 - targetBar), eps]);
    latent =
      eta > 0 && i + 1 < timesteps.length
        ? linearCombination([Math.sqrt(nextBar / targetBar), target], [Math.sqrt(1 - nextBar / targetBar), noise()])
        : target;
    yield { step: i + 1, steps: timesteps.length, sigma: sigmaOf(alphaBar), latent, denoised: x0 };
  }
  return latent;
}

/** For models distilled with TCD (TCD-LoRA). Settings: `eta` (default 0.3). */
export const tcd: Sampler = {
  name: 'tcd',
  title: 'TCD',
  aliases: ['TCDScheduler'],
  space: 'timestep',
  usesStepNoise: true,
  run(request) {
    checkRequest(request, true);
    const { timesteps, x, model } = consistencyStart(request);
    const draw = stepNoiseOf(request, 'tcd');
    return sampleTcd(model, x, timesteps, {
      eta: request.settings?.eta ?? 0.3,
      noise: () => draw(0, 0),
      signal: request.signal,
    });
  },
};
