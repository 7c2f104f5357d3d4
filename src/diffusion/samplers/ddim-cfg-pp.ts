/**
 * DDIM in the form of CFG++ (Chung et al. 2024, arXiv 2406.08070), as A1111's `ddim_cfgpp` (modules/sd_samplers_timesteps_impl.py): a step goes to
 * the guided clean latent and renoises with the unconditional noise. The guidance scale is divided by 12.5, so that 0 to 12.5 mean 0 to 1.
 */

import { throwIfAborted } from '../../errors.ts';
import { linearCombination } from '../../tensor/arithmetic.ts';
import type { DiffusionModel, Latent } from '../denoiser.ts';
import { predictionOf } from '../parameterization.ts';
import type { Sampler, Sampling } from '../sampler.ts';
import { type DdimStep, ddimSigma } from '../timesteps.ts';
import { withoutUnconditional } from './cfg-pp.ts';
import { checkRequest } from './request.ts';
import { ddimUpdate, optionsOf, sigmaOf, startOf, type TimestepSamplerOptions } from './timestep-sampler.ts';

const scaleDivisor = 12.5;

/** Runs the steps from x, which is at the first one's noise level. Throws `invalid-argument` for a model without an unconditional prediction. */
export async function* sampleDdimCfgPp(
  { predictParts, parameterization }: DiffusionModel,
  x: Latent,
  steps: readonly DdimStep[],
  { eta = 0, temperature = 1, noise, drawUnused, beforeStep, reviseX0, signal }: TimestepSamplerOptions = {},
): Sampling {
  if (!predictParts) throw withoutUnconditional();
  let latent = x;
  for (const [i, step] of steps.entries()) {
    throwIfAborted(signal);
    const { timestep, alphaBar, alphaBarPrev } = step;
    if (beforeStep) latent = await beforeStep(latent, timestep);
    const { guided, unconditional } = await predictParts(latent, timestep, signal);
    const output = linearCombination([1 - 1 / scaleDivisor, unconditional], [1 / scaleDivisor, guided]);
    let { x0 } = predictionOf(parameterization, output, latent, alphaBar);
    const { eps } = predictionOf(parameterization, unconditional, latent, alphaBar);
    if (reviseX0) x0 = await reviseX0(x0, timestep);
    const sigma = ddimSigma(step, eta);
    const draw = sigma > 0 || drawUnused ? noise?.() : undefined;
    latent = ddimUpdate(x0, eps, alphaBarPrev, sigma, draw, temperature);
    yield { step: i + 1, steps: steps.length, sigma: sigmaOf(alphaBar), latent, denoised: x0 };
  }
  return latent;
}

/** Settings and schedules as `ddim`. */
export const ddimCfgPp: Sampler = {
  name: 'ddim-cfg-pp',
  title: 'DDIM CFG++',
  aliases: ['ddim_cfgpp'],
  space: 'timestep',
  quantizes: true,
  usesStepNoise: false,
  needsUnconditional: true,
  run(request) {
    checkRequest(request, false);
    const { steps, x } = startOf(request);
    return sampleDdimCfgPp(request.model, x, steps, optionsOf(request, 'ddim-cfg-pp'));
  },
};
