/**
 * DDIM: Song, Meng and Ermon 2021, "Denoising Diffusion Implicit Models" (arXiv 2010.02502), equations 12 and 16.
 * As DDIMSampler of CompVis (ldm/models/diffusion/ddim.py); diffusers' DDIMScheduler is the same over other steps.
 */

import { throwIfAborted } from '../../errors.ts';
import { linearCombination } from '../../tensor/arithmetic.ts';
import type { DiffusionModel, Latent } from '../denoiser.ts';
import { predictionOf, toX0 } from '../parameterization.ts';
import type { Sampler, Sampling } from '../sampler.ts';
import { type DdimStep, ddimSigma, ddimSpacings } from '../timesteps.ts';
import { checkRequest } from './request.ts';
import { ddimUpdate, optionsOf, sigmaOf, startOf, type TimestepSamplerOptions } from './timestep-sampler.ts';

/** The clean latent that a step goes to, and the noise that it puts back. */
export type DdimEvaluation = (
  x: Latent,
  step: DdimStep,
  signal: AbortSignal | undefined,
) => Promise<{ readonly x0: Latent; readonly eps: Latent }>;

export interface DdimOptions extends TimestepSamplerOptions {
  /** Default: both of the model's output. */
  readonly evaluate?: DdimEvaluation | undefined;
  /** Work the noise out again from the revised clean latent (diffusers' `use_clipped_model_output`). */
  readonly epsFromRevised?: boolean | undefined;
  /** Changes the predicted noise before it is used (CompVis's `score_corrector`): x, the timestep, alphas_cumprod there. */
  readonly correctEps?: ((eps: Latent, x: Latent, timestep: number, alphaBar: number) => Latent) | undefined;
  /** Changes the latent after a step; `next` is the timestep of the step that follows, undefined after the last (diffusers' inpainting). */
  readonly afterStep?: ((x: Latent, next: number | undefined) => Latent) | undefined;
  /** Changes the step's noise after it is scaled (CompVis's `noise_dropout`). */
  readonly reviseNoise?: ((noise: Latent) => Latent) | undefined;
}

const evaluationOf =
  (model: DiffusionModel): DdimEvaluation =>
  async (x, { timestep, alphaBar }, signal) =>
    predictionOf(model.parameterization, await model.predict(x, timestep, signal), x, alphaBar);

/** Runs the steps from x, which is at the first one's noise level. `eta` 0 (default) is deterministic, 1 is DDPM's variance. */
export async function* sampleDdim(
  model: DiffusionModel,
  x: Latent,
  steps: readonly DdimStep[],
  options: DdimOptions = {},
): Sampling {
  const { eta = 0, temperature = 1, noise, drawUnused, beforeStep, reviseX0, signal } = options;
  const { evaluate = evaluationOf(model) } = options;
  let latent = x;
  for (const [i, step] of steps.entries()) {
    throwIfAborted(signal);
    const { timestep, alphaBar, alphaBarPrev } = step;
    if (beforeStep) latent = await beforeStep(latent, timestep);
    let { x0, eps } = await evaluate(latent, step, signal);
    if (options.correctEps) {
      eps = options.correctEps(eps, latent, timestep, alphaBar);
      x0 = toX0('eps', eps, latent, alphaBar);
    }
    if (reviseX0) {
      x0 = await reviseX0(x0, timestep);
      if (options.epsFromRevised) {
        const level = Math.sqrt(1 - alphaBar);
        eps = linearCombination([1 / level, latent], [-Math.sqrt(alphaBar) / level, x0]);
      }
    }
    const sigma = ddimSigma(step, eta);
    const drawn = sigma > 0 || drawUnused ? noise?.() : undefined;
    const draw = drawn && (options.reviseNoise?.(drawn) ?? drawn);
    latent = ddimUpdate(x0, eps, alphaBarPrev, sigma, draw, temperature);
    if (options.afterStep) latent = options.afterStep(latent, steps[i + 1]?.timestep);
    yield { step: i + 1, steps: steps.length, sigma: sigmaOf(alphaBar), latent, denoised: x0 };
  }
  return latent;
}

/**
 * DDIM run backwards, from a clean latent to the noise that leads to it (DDIMSampler.encode of the later CompVis repositories, with
 * the schedule's timesteps in place of the step's number). `descending` are steps as for `sampleDdim`.
 */
export function encodeDdim(
  model: DiffusionModel,
  x0: Latent,
  descending: readonly DdimStep[],
  options: Pick<DdimOptions, 'signal' | 'reviseX0'> = {},
): Sampling {
  const steps = descending
    .toReversed()
    .map(({ timestep, alphaBar, alphaBarPrev }) => ({ timestep, alphaBar: alphaBarPrev, alphaBarPrev: alphaBar }));
  return sampleDdim(model, x0, steps, options);
}

/** Settings: `eta` (default 0), `temperature`, `clipDenoised`. Schedules: `uniform`, `quad`, `a1111`. */
export const ddim: Sampler = {
  name: 'ddim',
  title: 'DDIM',
  aliases: ['DDIMSampler', 'DDIMScheduler'],
  space: 'timestep',
  spacings: ddimSpacings,
  quantizes: true,
  usesStepNoise: false,
  run(request) {
    checkRequest(request, false);
    const { steps, x } = startOf(request);
    return sampleDdim(request.model, x, steps, optionsOf(request, 'ddim'));
  },
};
