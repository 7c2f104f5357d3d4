/** Checks and defaults of a request that all samplers share. */

import { StableDiffusionError } from '../../errors.ts';
import type { IntervalNoise } from '../../random/noise-source.ts';
import type { SamplingRequest } from '../sampler.ts';

/** Throws `invalid-argument` for a request that cannot be run. */
export function checkRequest(request: SamplingRequest, usesStepNoise: boolean): void {
  const { steps, startStep = 0, stepNoise, intervalNoise } = request;
  if (!Number.isSafeInteger(steps) || steps < 1 || steps > 100_000) {
    throw new StableDiffusionError(
      'invalid-argument',
      `The number of steps is ${steps}; it must be a whole number from 1 to 100,000.`,
    );
  }
  if (!Number.isSafeInteger(startStep) || startStep < 0 || startStep > steps) {
    throw new StableDiffusionError(
      'invalid-argument',
      `Sampling was to start at step ${startStep} of ${steps}; a whole number from 0 to ${steps} is needed.`,
    );
  }
  if (usesStepNoise && !stepNoise && !intervalNoise) {
    throw new StableDiffusionError(
      'invalid-argument',
      'This sampler draws noise at its steps, and no source of noise was given (`stepNoise`).',
    );
  }
}

/** The request's noise for steps; throws `invalid-argument` when it is drawn from and there is none. */
export function stepNoiseOf(request: SamplingRequest, sampler: string): IntervalNoise {
  return () => {
    if (!request.stepNoise) {
      throw new StableDiffusionError(
        'invalid-argument',
        `With these settings the sampler ${sampler} draws noise at its steps, and no source of noise was given (\`stepNoise\`).`,
      );
    }
    return request.stepNoise.normal(request.startNoise.shape);
  };
}
