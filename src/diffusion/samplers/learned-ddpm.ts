/** DDPM with a learned variance, as diffusers' DDPMScheduler with `variance_type` `learned` and `learned_range` (DeepFloyd IF). */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { linearCombination } from '../../tensor/arithmetic.ts';
import { float32 } from '../../tensor/tensor.ts';
import type { DiffusionModel, Latent } from '../denoiser.ts';
import { learnedLogVariance } from '../learned-variance.ts';
import { toX0 } from '../parameterization.ts';
import type { Sampling } from '../sampler.ts';
import type { DdpmOptions, PosteriorStep } from './ddpm.ts';
import { sigmaOf } from './timestep-sampler.ts';

export interface LearnedDdpmOptions extends Pick<DdpmOptions, 'afterStep' | 'noise' | 'reviseX0' | 'signal'> {
  /** `range`: the network says where the variance lies between the posterior's and beta; `variance`: it says the variance. */
  readonly learned: 'range' | 'variance';
}

/** A step with the bounds of its variance. */
export interface LearnedStep extends PosteriorStep {
  readonly variance: number;
  readonly beta: number;
}

/** The deviation of each element of a step. */
function deviations(said: Latent, { variance, beta }: LearnedStep, learned: LearnedDdpmOptions['learned']): Latent {
  if (learned === 'variance') return float32(said.shape, said.data.map(Math.sqrt));
  const log = learnedLogVariance(said, variance, beta);
  return float32(
    log.shape,
    log.data.map((value) => Math.exp(Math.fround(0.5 * value))),
  );
}

/** Runs the steps from x, which is at the first one's noise level. Throws `invalid-argument` for a model that learned no variance. */
export async function* sampleLearnedDdpm(
  { predictLearned, parameterization }: DiffusionModel,
  x: Latent,
  steps: readonly LearnedStep[],
  { noise, reviseX0, afterStep, learned, signal }: LearnedDdpmOptions,
): Sampling {
  if (!predictLearned)
    throw new StableDiffusionError(
      'invalid-argument',
      'The scheduler takes a learned variance, and the network says none. Choose another sampler.',
    );
  let latent = x;
  for (const [i, step] of steps.entries()) {
    throwIfAborted(signal);
    const { prediction, variance } = await predictLearned(latent, step.timestep, signal);
    const clean = toX0(parameterization, prediction, latent, step.alphaBar);
    const x0 = reviseX0 ? await reviseX0(clean, step.timestep) : clean;
    const mean = linearCombination([step.x0Weight, x0], [step.xWeight, latent]);
    const draw = step.timestep > 0 ? noise?.() : undefined;
    const spread = draw && deviations(variance, step, learned);
    const next =
      draw && spread
        ? float32(
            mean.shape,
            mean.data.map((value, at) => value + Math.fround((spread.data[at] as number) * (draw.data[at] as number))),
          )
        : mean;
    latent = afterStep ? await afterStep(next, step.timestep) : next;
    yield { step: i + 1, steps: steps.length, sigma: sigmaOf(step.alphaBar), latent, denoised: x0 };
  }
  return latent;
}
