/**
 * LCM: multistep sampling of Latent Consistency Models, Luo et al. 2023 (arXiv 2310.04378), algorithm 3: guess the clean latent, put
 * fresh noise on it at the next level, and so on. In timesteps as diffusers' LCMScheduler, and in sigmas as A1111 and ComfyUI.
 */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { linearCombination, scale } from '../../tensor/arithmetic.ts';
import type { Denoiser, DiffusionModel, Latent } from '../denoiser.ts';
import { keepPredicted } from '../inpainting.ts';
import { type NoiseSchedule, noiseSchedule } from '../noise-schedule.ts';
import { toX0 } from '../parameterization.ts';
import type { Sampler, Sampling, SamplingRequest } from '../sampler.ts';
import { checkRequest, stepNoiseOf } from './request.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, evaluate, sigmaSteps } from './sigma-steps.ts';
import { type LatentHook, sigmaOf } from './timestep-sampler.ts';

/** Steps of the schedule that consistency models are distilled on. */
export const distilledSteps = 50;

/**
 * Descending timesteps: `steps` of the distillation's `originalSteps`, evenly chosen. `strength` leaves out the first of them for
 * image-to-image. Throws `invalid-argument` for more steps than there are.
 */
export function lcmTimesteps(
  steps: number,
  trainTimesteps: number,
  originalSteps = distilledSteps,
  strength = 1,
): number[] {
  const stride = Math.floor(trainTimesteps / originalSteps);
  const count = Math.trunc(originalSteps * strength);
  if (stride < 1 || steps > count) {
    throw new StableDiffusionError(
      'invalid-argument',
      `A consistency model distilled on ${originalSteps} steps takes at most ${count} steps${strength < 1 ? ` at strength ${strength}` : ''}, got ${steps}.`,
    );
  }
  return Array.from({ length: steps }, (_, i) => (count - Math.floor((i * count) / steps)) * stride - 1);
}

/** c_skip and c_out of the consistency function at a timestep (sigma_data 0.5, times 10). */
export function boundaryScalings(
  timestep: number,
  timestepScaling = 10,
): { readonly skip: number; readonly out: number } {
  const scaled = timestep * timestepScaling;
  return { skip: 0.25 / (scaled * scaled + 0.25), out: scaled / Math.sqrt(scaled * scaled + 0.25) };
}

export interface LcmOptions {
  readonly noise: () => Latent;
  readonly reviseX0?: LatentHook | undefined;
  readonly timestepScaling?: number;
  readonly signal?: AbortSignal | undefined;
}

export async function* sampleLcm(
  model: DiffusionModel,
  x: Latent,
  timesteps: readonly number[],
  options: LcmOptions,
): Sampling {
  const { noise, reviseX0, timestepScaling, signal } = options;
  const { schedule, parameterization } = model;
  let latent = x;
  for (const [i, timestep] of timesteps.entries()) {
    throwIfAborted(signal);
    const alphaBar = schedule.alphaBarAt(timestep);
    const output = await model.predict(latent, timestep, signal);
    const clean = toX0(parameterization, output, latent, alphaBar);
    const x0 = reviseX0 ? await reviseX0(clean, timestep) : clean;
    const { skip, out } = boundaryScalings(timestep, timestepScaling);
    const denoised = linearCombination([out, x0], [skip, latent]);
    const next = timesteps[i + 1];
    if (next === undefined) latent = denoised;
    else {
      const nextBar = schedule.alphaBarAt(next);
      latent = linearCombination([Math.sqrt(nextBar), denoised], [Math.sqrt(1 - nextBar), noise()]);
    }
    yield { step: i + 1, steps: timesteps.length, sigma: sigmaOf(alphaBar), latent, denoised };
  }
  return latent;
}

/** Timesteps, start and model of a request for a consistency model (LCM, TCD). */
export function consistencyStart(request: SamplingRequest) {
  const { steps, startStep = 0, startNoise, initial, inpainting } = request;
  const { schedule } = request.model;
  const timesteps = lcmTimesteps(
    steps,
    schedule.trainTimesteps,
    Math.min(Math.max(distilledSteps, steps), schedule.trainTimesteps),
  ).slice(startStep);
  const alphaBar = schedule.alphaBarAt(timesteps[0] ?? 0);
  const x = initial
    ? linearCombination([Math.sqrt(alphaBar), initial], [Math.sqrt(1 - alphaBar), startNoise])
    : startNoise;
  return { timesteps, x, model: inpainting ? keepPredicted(request.model, inpainting, startNoise) : request.model };
}

/** For models distilled to consistency (LCM, LCM-LoRA), 1 to 8 steps with little or no guidance. */
export const lcm: Sampler = {
  name: 'lcm',
  title: 'LCM',
  aliases: ['LCMScheduler'],
  space: 'timestep',
  quantizes: true,
  usesStepNoise: true,
  run(request) {
    checkRequest(request, true);
    const { timesteps, x, model } = consistencyStart(request);
    const draw = stepNoiseOf(request, 'lcm');
    return sampleLcm(model, x, timesteps, {
      noise: () => draw(0, 0),
      signal: request.signal,
      reviseX0: request.quantize,
    });
  },
};

/** In sigmas, with any denoiser: x = denoised + next sigma · noise (A1111's and ComfyUI's `sample_lcm`). */
export async function* sampleLcmSigma(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: SigmaSamplerOptions,
): Sampling {
  const { noise, signal } = options;
  let latent = x;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const denoised = await evaluate(denoise, latent, sigma, signal);
    latent = addNoise(denoised, noise, sigma, next, next);
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export const lcmSigma = sigmaSampler({
  name: 'k-lcm',
  title: 'LCM (sigma)',
  aliases: ['sample_lcm', 'comfy_lcm'],
  usesStepNoise: true,
  sample: sampleLcmSigma,
});

/** The part of a schedule that a consistency model was distilled on, as a schedule of its own, and the way to the model's timesteps (A1111's LCMCompVisDenoiser). */
export interface DistilledSchedule {
  readonly schedule: NoiseSchedule;
  /** The model's timestep nearest to a sigma. */
  timestepOfSigma(sigma: number): number;
  /** sigma of the model's timestep. */
  sigmaOfTimestep(timestep: number): number;
}

export function distilledSchedule(full: NoiseSchedule, originalSteps = distilledSteps): DistilledSchedule {
  const stride = Math.floor(full.trainTimesteps / originalSteps);
  const schedule = noiseSchedule(
    Float32Array.from(
      { length: originalSteps },
      (_, i) => full.alphasCumprod[full.trainTimesteps - 1 - (originalSteps - 1 - i) * stride] as number,
    ),
  );
  return {
    schedule,
    timestepOfSigma: (sigma) => schedule.timestepOfSigma(sigma, true) * stride + stride - 1,
    sigmaOfTimestep: (timestep) => schedule.sigmaOfTimestep((timestep - (stride - 1)) / stride),
  };
}

/** The consistency function as a denoiser of the variance-exploding space. */
export function lcmDenoiser(model: DiffusionModel, originalSteps = distilledSteps): Denoiser {
  const distilled = distilledSchedule(model.schedule, originalSteps);
  return async (x, sigma, signal) => {
    const timestep = distilled.timestepOfSigma(sigma);
    const seen = scale(x, 1 / Math.sqrt(sigma * sigma + 1));
    const output = await model.predict(seen, timestep, signal);
    const x0 = toX0(model.parameterization, output, seen, 1 / (sigma * sigma + 1));
    const { skip, out } = boundaryScalings(timestep);
    return linearCombination([out, x0], [skip, x]);
  };
}
