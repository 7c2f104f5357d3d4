/** The time and the steps of one job. A job that takes too long ends by itself, so that no request occupies a server for good. */

import { StableDiffusionError } from '../../errors.ts';
import { choosesSteps, type JobRequest } from '../job.ts';
import type { RunContext, Work } from './work.ts';

/** Charges seconds of work to the jobs that were at work together. Throws `too-large` when one is over its limit. */
export function spend(works: Iterable<Work>, seconds: number, { jobSeconds, onSampling }: RunContext): void {
  onSampling(seconds);
  for (const work of works) {
    work.secondsSpent += seconds;
    if (work.secondsSpent > jobSeconds)
      throw new StableDiffusionError(
        'too-large',
        `The job took longer than the ${jobSeconds} seconds that this server allows. Ask for fewer steps, pictures or pixels.`,
      );
  }
}

/** A sampler that chooses its steps itself may take no more than a request may ask for. Throws `too-large`. */
export function checkSteps(
  step: number,
  request: Pick<JobRequest, 'sampler' | 'noise'>,
  { maxSteps }: Pick<RunContext, 'maxSteps'>,
): void {
  if (step > maxSteps && choosesSteps(request))
    throw new StableDiffusionError(
      'too-large',
      `The sampler needs more than the ${maxSteps} steps that this server allows. Ask for a lower eta, or for another sampler.`,
    );
}
