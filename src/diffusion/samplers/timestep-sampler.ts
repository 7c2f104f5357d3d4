/** Shared parts of CompVis's samplers (DDIM, PLMS): steps, start, draws of noise, inpainting. */

import type { IntervalNoise } from '../../random/noise-source.ts';
import { clamp, linearCombination } from '../../tensor/arithmetic.ts';
import type { Latent } from '../denoiser.ts';
import { keepAtTimestep, qSample } from '../inpainting.ts';
import type { SamplingRequest } from '../sampler.ts';
import { type DdimSpacing, type DdimStep, ddimSteps, ddimTimesteps } from '../timesteps.ts';
import { stepNoiseOf } from './request.ts';

/** Changes a sampler's state or its guess at a timestep. */
export type LatentHook = (x: Latent, timestep: number) => Latent | Promise<Latent>;

export interface TimestepSamplerOptions {
  /** Noise of the steps; needed where `eta` is above 0. */
  readonly noise?: (() => Latent) | undefined;
  /** Draw noise even where it is multiplied by 0, as CompVis does: the numbers that follow then come out as there. */
  readonly drawUnused?: boolean | undefined;
  readonly eta?: number | undefined;
  readonly temperature?: number | undefined;
  /** Before the model is called (inpainting). */
  readonly beforeStep?: LatentHook | undefined;
  /** Revises the guess of the clean latent (clipping, thresholding, quantising). */
  readonly reviseX0?: LatentHook | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * DDIMSampler.stochastic_encode of CompVis: a clean latent noised for `decode`, t_enc = int(strength · steps) steps from the end.
 * The level is that of timestep number t_enc (from 0), one above where decoding starts, as there. Where the original runs out of its
 * table and raises (strength 1), it is the last trained timestep.
 */
export function stochasticEncode(
  request: Pick<SamplingRequest, 'model' | 'startNoise'>,
  x0: Latent,
  ascendingTimesteps: readonly number[],
  tEnc: number,
): Latent {
  const { schedule } = request.model;
  return qSample(schedule, x0, ascendingTimesteps[tEnc] ?? schedule.trainTimesteps - 1, request.startNoise);
}

/** The steps and the start of a request for DDIM or PLMS. */
export function startOf(request: SamplingRequest): { readonly steps: readonly DdimStep[]; readonly x: Latent } {
  const { model, initial, startStep = 0 } = request;
  const spacing = (request.schedule ?? 'uniform') as DdimSpacing;
  const timesteps = ddimTimesteps(spacing, request.steps, model.schedule.trainTimesteps);
  const whole = startStep === 0 && !initial;
  const count = whole ? timesteps.length : request.steps - startStep;
  const steps = ddimSteps(model.schedule, timesteps.slice(0, count));
  // A1111 stops at the first timestep instead of continuing to alphas_cumprod[0].
  if (spacing === 'a1111' && steps.length > 1) steps.pop();
  return { steps, x: initial ? stochasticEncode(request, initial, timesteps, count) : request.startNoise };
}

/** Draws unused noise where the original of the request's convention does. */
export function drawsUnused(request: SamplingRequest): boolean {
  return request.stepNoise?.convention === 'compvis' || (request.stepNoise?.convention.startsWith('a1111') ?? false);
}

/** Clipping, then quantising, as DDPM.p_mean_variance. */
function revisionOf(clips: boolean, quantize: SamplingRequest['quantize']): LatentHook | undefined {
  if (!clips) return quantize;
  return quantize ? (x0) => quantize(clamp(x0, -1, 1)) : (x0) => clamp(x0, -1, 1);
}

/** The hooks of a request, for the samplers of this kind. */
export function optionsOf(request: SamplingRequest, name: string): TimestepSamplerOptions {
  const { inpainting, quantize, settings = {} } = request;
  const draw: IntervalNoise = stepNoiseOf(request, name);
  const noise = () => draw(0, 0);
  return {
    noise,
    drawUnused: drawsUnused(request),
    eta: settings.eta,
    temperature: settings.temperature,
    beforeStep:
      inpainting && ((x, timestep) => keepAtTimestep(request.model.schedule, inpainting, x, timestep, noise())),
    reviseX0: revisionOf(settings.clipDenoised ?? false, quantize),
    signal: request.signal,
  };
}

/** sqrt((1 - a) / a). */
export function sigmaOf(alphaBar: number): number {
  return Math.sqrt((1 - alphaBar) / alphaBar);
}

/** x_{t-1} = sqrt(a_prev) x_0 + sqrt(1 - a_prev - s²) eps + s · temperature · noise (Song et al. 2021, equation 12). */
export function ddimUpdate(
  x0: Latent,
  eps: Latent,
  alphaBarPrev: number,
  sigma: number,
  noise?: Latent,
  temperature = 1,
): Latent {
  const direction = Math.sqrt(Math.max(0, 1 - alphaBarPrev - sigma * sigma));
  if (!noise || sigma === 0) return linearCombination([Math.sqrt(alphaBarPrev), x0], [direction, eps]);
  return linearCombination([Math.sqrt(alphaBarPrev), x0], [direction, eps], [sigma * temperature, noise]);
}
