/**
 * ER-SDE-Solver-3: extended reverse-time SDEs (Cui et al. 2023, arXiv 2309.06169), third-order multistep. One model call a step. After
 * ComfyUI's `sample_er_sde`. Reads sNoise (default 1), order (the highest stage, default 3).
 */

import { linearCombination, type Term } from '../../tensor/arithmetic.ts';
import type { Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { type SigmaSampling, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, evaluate, sigmaSteps } from './sigma-steps.ts';

/** The paper's noise scale of ER-SDE 5, of a level. */
const noiseScale = (sigma: number): number => sigma * (Math.exp(sigma ** 0.3) + 10);

const integrationPoints = 200;

/** Sums over points from `next` up to `sigma` of a value, times their distance. */
function integral(sigma: number, next: number, value: (at: number) => number): number {
  const width = (sigma - next) / integrationPoints;
  let sum = 0;
  for (let i = 0; i < integrationPoints; i++) sum += value(next + i * width);
  return sum * width;
}

/** The difference of two latents, divided. */
const divided = (a: Latent, b: Latent, by: number): Latent => linearCombination([1 / by, a], [-1 / by, b]);

/** The solver with a noise scale of a level: of ER-SDE 5, or sigma^(eta + 1) for the reverse-time SDE of that eta (0: the ODE, without noise). */
export function erSdeSampling(scaleOf: (sigma: number) => number): SigmaSampling {
  return async function* (denoise, x, sigmas, { noise, sNoise = 1, order = 3, signal }): Sampling {
    let latent = x;
    let last: Latent | undefined;
    let lastSlope: Latent | undefined;
    for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
      const denoised = await evaluate(denoise, latent, sigma, signal);
      if (next === 0) latent = denoised;
      else {
        const r = scaleOf(next) / scaleOf(sigma);
        const terms: Term[] = [[1 - r, denoised]];
        const dt = next - sigma;
        if (last && order >= 2) {
          const slope = divided(denoised, last, sigma - (sigmas[step - 2] as number));
          terms.push([dt + integral(sigma, next, (at) => 1 / scaleOf(at)) * scaleOf(next), slope]);
          if (lastSlope && order >= 3) {
            const curvature = divided(slope, lastSlope, (sigma - (sigmas[step - 3] as number)) / 2);
            terms.push([
              dt ** 2 / 2 + integral(sigma, next, (at) => (at - sigma) / scaleOf(at)) * scaleOf(next),
              curvature,
            ]);
          }
          lastSlope = slope;
        }
        const deviation = Math.sqrt(Math.max(0, next ** 2 - sigma ** 2 * r ** 2));
        latent = addNoise(linearCombination([r, latent], ...terms), noise, sigma, next, sNoise * deviation);
      }
      last = denoised;
      yield { step, steps, sigma, latent, denoised };
    }
    return latent;
  };
}

export const sampleErSde = erSdeSampling(noiseScale);

export const erSde = sigmaSampler({
  name: 'er-sde',
  title: 'ER SDE',
  aliases: ['er_sde', 'sample_er_sde'],
  usesStepNoise: true,
  sample: sampleErSde,
});
