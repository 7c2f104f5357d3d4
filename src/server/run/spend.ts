/** The time of one job. A job that takes too long ends by itself, so that no request occupies a server for good. */

import { StableDiffusionError } from '../../errors.ts';
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
