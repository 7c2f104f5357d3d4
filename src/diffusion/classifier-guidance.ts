/**
 * Guidance by a classifier of noisy latents (Dhariwal and Nichol 2021, arXiv 2105.05233, section 4.2): the noise that the model predicts becomes
 * eps - sqrt(1 - alpha_bar) s ∇ log p(y | x_t). It holds for every sampler: guided-diffusion's `condition_score` for DDIM, `guidance_type="classifier"`
 * of CompVis's DPM_Solver, and in sigma space x0 + sigma² ∇ log p.
 */

import { StableDiffusionError } from '../errors.ts';
import type { Latent } from './denoiser.ts';
import type { GuidanceTerm } from './guidance.ts';
import type { Parameterization } from './objective.ts';

/** The gradient of log p(y | x_t) with respect to x_t, of the sum over the batch; x_t is in the variance-preserving space. */
export type ClassifierGradient = (x: Latent, timestep: number, signal?: AbortSignal) => Promise<Latent>;

/** How a change of eps changes what the network predicts, at alpha = sqrt(alpha_bar), sigma = sqrt(1 - alpha_bar). */
const changes: Readonly<Partial<Record<Parameterization, (alpha: number, sigma: number) => number>>> = {
  eps: () => 1,
  x0: (alpha, sigma) => -sigma / alpha,
  v: (alpha) => 1 / alpha,
};

/** A term for `guidedModel`. Throws `invalid-argument` for models that predict a flow. */
export function classifierGuidance(gradient: ClassifierGradient, scale: number): GuidanceTerm {
  return async (guided, { x, timestep, schedule, parameterization, signal }) => {
    const change = changes[parameterization];
    if (!change)
      throw new StableDiffusionError(
        'invalid-argument',
        `A classifier cannot guide a model that predicts ${parameterization}.`,
      );
    if (scale === 0) return guided;
    const level = schedule.alphaBarAt(timestep);
    const [alpha, sigma] = [Math.sqrt(level), Math.sqrt(1 - level)];
    const factor = change(alpha, sigma) * sigma * scale;
    const { data } = await gradient(x, timestep, signal);
    return { ...guided, data: guided.data.map((value, i) => value - factor * (data[i] as number)) };
  };
}
