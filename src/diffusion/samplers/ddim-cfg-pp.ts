/**
 * DDIM in the form of CFG++ (Chung et al. 2024, arXiv 2406.08070), as A1111's `ddim_cfgpp` (modules/sd_samplers_timesteps_impl.py): a step goes to
 * the guided clean latent and puts the unconditional noise back. The guidance scale is divided by 12.5, so that 0 to 12.5 mean 0 to 1.
 */

import { linearCombination } from '../../tensor/arithmetic.ts';
import type { DiffusionModel } from '../denoiser.ts';
import { predictionOf } from '../parameterization.ts';
import type { Sampler } from '../sampler.ts';
import { withoutUnconditional } from './cfg-pp.ts';
import { type DdimEvaluation, sampleDdim } from './ddim.ts';
import { checkRequest } from './request.ts';
import { optionsOf, startOf } from './timestep-sampler.ts';
import { ddimSpacings } from '../timesteps.ts';

const scaleDivisor = 12.5;

/** Throws `invalid-argument` for a model without an unconditional prediction. */
function cfgPpOf({ predictParts, parameterization }: DiffusionModel): DdimEvaluation {
  if (!predictParts) throw withoutUnconditional();
  return async (x, { timestep, alphaBar }, signal) => {
    const { guided, unconditional } = await predictParts(x, timestep, signal);
    const output = linearCombination([1 - 1 / scaleDivisor, unconditional], [1 / scaleDivisor, guided]);
    const { x0 } = predictionOf(parameterization, output, x, alphaBar);
    return { x0, eps: predictionOf(parameterization, unconditional, x, alphaBar).eps };
  };
}

/** Settings and schedules as `ddim`. */
export const ddimCfgPp: Sampler = {
  name: 'ddim-cfg-pp',
  title: 'DDIM CFG++',
  aliases: ['ddim_cfgpp'],
  space: 'timestep',
  spacings: ddimSpacings,
  quantizes: true,
  usesStepNoise: false,
  needsUnconditional: true,
  run(request) {
    checkRequest(request, false);
    const { steps, x } = startOf(request);
    const evaluate = cfgPpOf(request.model);
    return sampleDdim(request.model, x, steps, { ...optionsOf(request, 'ddim-cfg-pp'), evaluate });
  },
};
