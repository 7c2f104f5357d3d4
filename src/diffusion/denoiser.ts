/**
 * The interface of a diffusion model for samplers. It hides network, prompt and guidance.
 *
 * - `DiffusionModel`: x_t in the variance-preserving space of DDPM (x_t = sqrt(alphas_cumprod) x_0 + sqrt(1 - alphas_cumprod) eps)
 *   and a timestep, to what the network predicts (eps, v or x_0), with the schedule it was trained on. The base of the two views.
 * - `NoisePredictor`: as above, and always eps. CompVis's samplers.
 * - `Denoiser`: x in the variance-exploding space of Karras et al. 2022 (x = x_0 + sigma eps) and sigma, to the denoised x_0.
 *   k-diffusion's and ComfyUI's samplers. (k-diffusion's CompVisDenoiser and CompVisVDenoiser.)
 */

import type { Tensor } from '../tensor/tensor.ts';
import { roundedSum, scale } from '../tensor/arithmetic.ts';
import type { LearnedPrediction } from './learned-variance.ts';
import { type NoiseSchedule, tableLevel } from './noise-schedule.ts';
import { objectiveOf, type Parameterization } from './objective.ts';
import { toEps } from './parameterization.ts';

/** float32 [batch, channels, height, width] in the model's latent space. */
export type Latent = Tensor<'float32'>;

/** x_t and a timestep in [0, train timesteps - 1], possibly fractional, to the network's (guided) output. */
export interface DiffusionModel {
  readonly parameterization: Parameterization;
  readonly schedule: NoiseSchedule;
  predict(x: Latent, timestep: number, signal?: AbortSignal): Promise<Latent>;
  /** The guided output with the unconditional one. Undefined for models without guidance by an empty or negative prompt. */
  predictParts?: ((x: Latent, timestep: number, signal?: AbortSignal) => Promise<PredictedParts>) | undefined;
  /** Models that learned their variance: the guided prediction, with the variance of the pass with the prompt. */
  predictLearned?: ((x: Latent, timestep: number, signal?: AbortSignal) => Promise<LearnedPrediction>) | undefined;
  /** Models whose condition is noised too: does so before a step of ancestral sampling. */
  noiseCondition?: ((timestep: number, draw: (shape: readonly number[]) => Latent) => void) | undefined;
}

export interface PredictedParts {
  readonly guided: Latent;
  readonly unconditional: Latent;
}

export type NoisePredictor = (x: Latent, timestep: number, signal?: AbortSignal) => Promise<Latent>;

/** The guided denoised latent, and the one of the empty or negative prompt. */
export interface DenoisedParts {
  readonly denoised: Latent;
  readonly unconditional: Latent;
}

export interface Denoiser {
  (x: Latent, sigma: number, signal?: AbortSignal): Promise<Latent>;
  /** For samplers that use both (CFG++). Undefined where the model has no unconditional prediction of its own. */
  readonly parts?: ((x: Latent, sigma: number, signal?: AbortSignal) => Promise<DenoisedParts>) | undefined;
}

/** The model as a predictor of eps, for any parameterization. */
export function noisePredictor(model: DiffusionModel): NoisePredictor {
  const { schedule, parameterization } = model;
  return async (x, timestep, signal) =>
    toEps(parameterization, await model.predict(x, timestep, signal), x, schedule.alphaBarAt(timestep));
}

export interface DenoiserOptions {
  /** Round to the nearest trained timestep (A1111's `quantize`, and ComfyUI always) instead of interpolating in log sigma. Default false. */
  readonly quantize?: boolean;
  /** Move each sigma to the nearest of the table first, as sgm's `DiscreteDenoiser`. Default false. */
  readonly onTable?: boolean;
  /** Timesteps to use for given sigmas in place of the schedule's own, as diffusers' sigma-space schedulers do. Others are interpolated. */
  readonly timestepOf?: ReadonlyMap<number, number>;
}

/**
 * The model as a denoiser: scales x by c_in = 1 / sqrt(sigma² + 1), asks the network at sigma_to_t(sigma), and gives
 * c_skip x + c_out output. sigma is above 0; sigmas beyond the schedule's ends use its first or last timestep.
 */
export function denoiser(model: DiffusionModel, options: DenoiserOptions = {}): Denoiser {
  const { schedule, parameterization } = model;
  const stateAt = (x: Latent, given: number) => {
    const level = options.onTable ? tableLevel(schedule, given) : undefined;
    const { sigma } = level ?? { sigma: given };
    const timestep =
      level?.timestep ?? options.timestepOf?.get(sigma) ?? schedule.timestepOfSigma(sigma, options.quantize);
    // Rounded as the originals' float32 scalars: guidance multiplies differences in the last bit.
    const variance = Math.fround(Math.fround(sigma * sigma) + 1);
    const deviation = Math.fround(Math.sqrt(variance));
    const [ofX, ofOutput] = objectiveOf(parameterization).x0OfSigma(sigma, variance, deviation);
    const denoised = (output: Latent): Latent => (ofX === 0 ? output : roundedSum(ofX, x, ofOutput, output));
    return { timestep, scaled: scale(x, Math.fround(1 / deviation)), denoised };
  };
  const denoise = async (x: Latent, sigma: number, signal?: AbortSignal): Promise<Latent> => {
    const { timestep, scaled, denoised } = stateAt(x, sigma);
    return denoised(await model.predict(scaled, timestep, signal));
  };
  const { predictParts } = model;
  const parts =
    predictParts &&
    (async (x: Latent, sigma: number, signal?: AbortSignal): Promise<DenoisedParts> => {
      const { timestep, scaled, denoised } = stateAt(x, sigma);
      const { guided, unconditional } = await predictParts(scaled, timestep, signal);
      return { denoised: denoised(guided), unconditional: denoised(unconditional) };
    });
  return Object.assign(denoise, { parts });
}
