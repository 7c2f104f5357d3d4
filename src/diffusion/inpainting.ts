/**
 * Inpainting with any model: the kept part of a latent is restored at every step (masks: 1 keeps, 0 regenerates).
 *
 * - Timestep samplers: before each model call x becomes mask · q_sample(x0, t) + (1 - mask) · x (CompVis's DDIMSampler and PLMSSampler).
 * - Sigma samplers: what the model sees is blended so, with one noise for the whole run, and its denoised output is blended with the
 *   clean latent (ComfyUI's KSamplerX0Inpaint); the sampler's own x is never touched, so that this works for every algorithm.
 */

import { blend, linearCombination } from '../tensor/arithmetic.ts';
import type { Denoiser, DiffusionModel, Latent } from './denoiser.ts';
import type { NoiseSchedule } from './noise-schedule.ts';
import { objectiveOf } from './objective.ts';
import type { Inpainting, Sampling } from './sampler.ts';
import { blendKeepingMagnitude, softMask } from './soft-inpainting.ts';

/** x_t = sqrt(a) x_0 + sqrt(1 - a) noise, a = alphas_cumprod[t]: a sample of q(x_t | x_0). */
export function qSample(schedule: NoiseSchedule, x0: Latent, timestep: number, noise: Latent): Latent {
  const alphaBar = schedule.alphaBarAt(timestep);
  return linearCombination([Math.sqrt(alphaBar), x0], [Math.sqrt(1 - alphaBar), noise]);
}

/** x with the kept part replaced by x0 noised to the timestep. */
export function keepAtTimestep(
  schedule: NoiseSchedule,
  { mask, latent }: Inpainting,
  x: Latent,
  timestep: number,
  noise: Latent,
): Latent {
  return blend(mask, qSample(schedule, latent, timestep, noise), x);
}

export interface KeepOptions {
  /** The model sees the very first x as it is: pure noise, where diffusers' pipelines start so. Default false. */
  readonly firstAsItIs?: boolean;
}

/** What is painted, where `mask` says what is kept. */
const paintedShare = (mask: Latent): Latent => ({ ...mask, data: mask.data.map((value) => 1 - value) });

/** A denoiser whose kept part is always the clean latent. `noise` is standard normal, of the latent's shape. */
export function keepDenoised(
  denoise: Denoiser,
  { mask, latent, rule, soft }: Inpainting,
  noise: Latent,
  options: KeepOptions = {},
): Denoiser {
  let isFirst = options.firstAsItIs ?? false;
  const painted = soft && paintedShare(mask);
  const seen = (x: Latent, sigma: number): Latent => {
    const asItIs = isFirst || rule === 'after';
    isFirst = false;
    return asItIs ? x : blend(mask, linearCombination([1, latent], [sigma, noise]), x);
  };
  const keep = (denoised: Latent, sigma: number): Latent =>
    soft && painted
      ? blendKeepingMagnitude(latent, denoised, softMask(painted, sigma, soft), soft)
      : blend(mask, latent, denoised);
  const { parts } = denoise;
  return Object.assign(
    async (x: Latent, sigma: number, signal?: AbortSignal) => keep(await denoise(seen(x, sigma), sigma, signal), sigma),
    {
      parts:
        parts &&
        (async (x: Latent, sigma: number, signal?: AbortSignal) => {
          const { denoised, unconditional } = await parts(seen(x, sigma), sigma, signal);
          // Only the guided one is blended, as ComfyUI does.
          return { denoised: keep(denoised, sigma), unconditional };
        }),
    },
  );
}

/** As `keepDenoised`, for solvers that work on x_t and the model's own prediction: its output predicts the known clean latent where the mask keeps. */
export function keepPredicted(
  model: DiffusionModel,
  { mask, latent }: Inpainting,
  noise: Latent,
  options: KeepOptions = {},
): DiffusionModel {
  const { schedule, parameterization } = model;
  let isFirst = options.firstAsItIs ?? false;
  return {
    schedule,
    parameterization,
    async predict(x, timestep, signal) {
      const alphaBar = schedule.alphaBarAt(timestep);
      const seen = isFirst ? x : blend(mask, qSample(schedule, latent, timestep, noise), x);
      isFirst = false;
      const output = await model.predict(seen, timestep, signal);
      // What the network would have said if the clean latent were what is kept: x_0 = ofX x + ofOutput output, solved for the output.
      const [ofX, ofOutput] = objectiveOf(parameterization).x0(Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar));
      const kept = ofX === 0 ? latent : linearCombination([-ofX / ofOutput, x], [1 / ofOutput, latent]);
      return blend(mask, kept, output);
    },
  };
}

/** A run whose last latent has the known part clean, as diffusers' pipelines leave it, whatever level the sampler ends at. */
export async function* keepAtEnd(sampling: Sampling, { mask, latent: known }: Inpainting): Sampling {
  const kept = (x: Latent): Latent => blend(mask, known, x);
  let next = await sampling.next();
  while (!next.done) {
    const { step, steps, latent } = next.value;
    yield step === steps ? { ...next.value, latent: kept(latent) } : next.value;
    next = await sampling.next();
  }
  return kept(next.value);
}
