/**
 * Heun++: Euler's step with the mean of the slopes at one, two or three levels ahead, weighted by the levels (Carzit, sd-webui-samplers-scheduler;
 * ComfyUI's `sample_heunpp2`). Three model calls a step, two and one at the end. Reads sChurn, sTmin, sTmax, sNoise, drawsOnlyUsed.
 */

import { linearCombination } from '../../tensor/arithmetic.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { type ChurnOptions, churn } from './churn.ts';
import { sigmaSampler } from './sigma-sampler.ts';
import { alongSlope, derivative, evaluate, sigmaSteps } from './sigma-steps.ts';

export async function* sampleHeunpp2(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: ChurnOptions = {},
): Sampling {
  let latent = x;
  const all = sigmaSteps(sigmas);
  const [end, highest] = [sigmas[sigmas.length - 1] as number, sigmas[0] as number];
  for (const step of all) {
    const raised = churn(latent, step, options);
    const denoised = await evaluate(denoise, raised.x, raised.sigma, options.signal);
    const slopes = [derivative(raised.x, raised.sigma, denoised)];
    const levels = [step.next, sigmas[step.step + 1] ?? end].slice(0, step.next === end ? 0 : 2);
    const used = levels.filter((level, i) => i === 0 || level !== end);
    let ahead = raised.x;
    let from = raised.sigma;
    for (const level of used) {
      ahead = alongSlope(ahead, slopes.at(-1) as Latent, from, level);
      slopes.push(derivative(ahead, level, await evaluate(denoise, ahead, level, options.signal)));
      from = level;
    }
    const weights = used.map((level) => level / (slopes.length * highest));
    const first = 1 - weights.reduce((sum, weight) => sum + weight, 0);
    const slope = linearCombination(
      [first, slopes[0] as Latent],
      ...weights.map((weight, i) => [weight, slopes[i + 1] as Latent] as const),
    );
    latent = alongSlope(raised.x, slope, raised.sigma, step.next);
    yield { step: step.step, steps: step.steps, sigma: step.sigma, latent, denoised };
  }
  return latent;
}

export const heunpp2 = sigmaSampler({
  name: 'heunpp2',
  title: 'Heun++ 2',
  aliases: ['sample_heunpp2'],
  usesStepNoise: false,
  sample: sampleHeunpp2,
});
