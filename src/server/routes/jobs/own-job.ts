/** A job by its id, if it belongs to the caller; others are not found. */

import * as z from 'zod';
import { StableDiffusionError } from '../../../errors.ts';
import type { ServerContext } from '../../context.ts';
import type { Job } from '../../job.ts';

export const jobParams = z.object({ id: z.string().min(1).max(64) });

/** Throws `not-found`. */
export async function ownJob({ queue }: ServerContext, owner: string, id: string): Promise<Job> {
  const job = await queue.get(id);
  if (!job || job.owner !== owner) throw new StableDiffusionError('not-found', 'No job has this id.');
  return job;
}
