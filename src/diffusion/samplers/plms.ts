/**
 * PLMS: Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds" (arXiv 2202.09778), the linear multistep part
 * with a pseudo improved Euler step first. As PLMSSampler of CompVis (ldm/models/diffusion/plms.py).
 */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { linearCombination } from '../../tensor/arithmetic.ts';
import type { DiffusionModel, Latent } from '../denoiser.ts';
import { toEps } from '../parameterization.ts';
import type { Sampler, Sampling } from '../sampler.ts';
import { type DdimStep, ddimSpacings } from '../timesteps.ts';
import { checkRequest } from './request.ts';
import { ddimUpdate, optionsOf, sigmaOf, startOf, type TimestepSamplerOptions } from './timestep-sampler.ts';

/** Adams-Bashforth: the noise to step with, from this one and the ones before it, the latest last. */
export function adamsBashforth(eps: Latent, before: readonly Latent[]): Latent {
  const [a, b, c] = before.toReversed();
  if (!a) return eps;
  if (!b) return linearCombination([3 / 2, eps], [-1 / 2, a]);
  if (!c) return linearCombination([23 / 12, eps], [-16 / 12, a], [5 / 12, b]);
  return linearCombination([55 / 24, eps], [-59 / 24, a], [37 / 24, b], [-9 / 24, c]);
}

/** Runs the steps from x, which is at the first one's noise level. The first step calls the model twice. Always deterministic. */
export async function* samplePlms(
  model: DiffusionModel,
  x: Latent,
  steps: readonly DdimStep[],
  options: TimestepSamplerOptions = {},
): Sampling {
  const { beforeStep, reviseX0, drawUnused, noise, signal } = options;
  const history: Latent[] = [];
  let latent = x;
  const epsAt = async (at: Latent, { timestep, alphaBar }: DdimStep) =>
    toEps(model.parameterization, await model.predict(at, timestep, signal), at, alphaBar);
  for (const [i, step] of steps.entries()) {
    throwIfAborted(signal);
    const { timestep, alphaBar, alphaBarPrev } = step;
    if (beforeStep) latent = await beforeStep(latent, timestep);
    const start = latent;
    const advance = async (eps: Latent) => {
      const clean = linearCombination([1 / Math.sqrt(alphaBar), start], [-Math.sqrt((1 - alphaBar) / alphaBar), eps]);
      const x0 = reviseX0 ? await reviseX0(clean, timestep) : clean;
      if (drawUnused) noise?.();
      return { x0, next: ddimUpdate(x0, eps, alphaBarPrev, 0) };
    };
    const eps = await epsAt(start, step);
    let direction = adamsBashforth(eps, history);
    if (history.length === 0) {
      const { next } = await advance(eps);
      const ahead = await epsAt(next, steps[Math.min(i + 1, steps.length - 1)] as DdimStep);
      direction = linearCombination([1 / 2, eps], [1 / 2, ahead]);
    }
    const { x0, next } = await advance(direction);
    history.push(eps);
    if (history.length > 3) history.shift();
    latent = next;
    yield { step: i + 1, steps: steps.length, sigma: sigmaOf(alphaBar), latent, denoised: x0 };
  }
  return latent;
}

/** Schedules: `uniform`, `quad`, `a1111`. Takes no `eta`. */
export const plms: Sampler = {
  name: 'plms',
  title: 'PLMS',
  aliases: ['PLMSSampler'],
  space: 'timestep',
  spacings: ddimSpacings,
  quantizes: true,
  usesStepNoise: false,
  run(request) {
    checkRequest(request, false);
    if (request.settings?.eta) {
      throw new StableDiffusionError(
        'invalid-argument',
        `PLMS is deterministic, and eta is ${request.settings.eta}; use DDIM for eta above 0.`,
      );
    }
    const { steps, x } = startOf(request);
    return samplePlms(request.model, x, steps, optionsOf(request, 'plms'));
  },
};
