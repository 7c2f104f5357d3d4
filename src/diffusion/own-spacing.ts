/** Spacings of the steps of samplers over timesteps, which take no schedules of sigmas. */

import { StableDiffusionError } from '../errors.ts';
import type { Sampler } from './sampler.ts';
import { sigmaSchedules } from './sigma-schedules/index.ts';

/** The spacing of a sampler over timesteps. Throws for what it would not read. */
export function ownSpacing(name: string, { name: sampler, spacings = [] }: Sampler): string {
  const found = spacings.find((spacing) => spacing.toLowerCase() === name.toLowerCase());
  if (found) return found;
  const own = spacings.length > 0 ? `takes ${spacings.join(', ')}` : 'spaces its steps in one way and takes none';
  throw new StableDiffusionError(
    'invalid-argument',
    `Unknown spacing ${JSON.stringify(name)}: the sampler ${sampler} ${own}. Samplers of sigmas, such as euler and dpmpp-2m, take ${Object.keys(sigmaSchedules).join(', ')}.`,
  );
}
