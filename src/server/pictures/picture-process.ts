/** The process that picture-pool.ts starts: does one piece of work at a time on pictures of callers. */

import { writeFileSync } from 'node:fs';
import workerpool from 'workerpool';
import { StableDiffusionError } from '../../errors.ts';
import { type PictureLimits, type PictureWorkKind, pictureWorks } from './picture-work.ts';

/** An error that crosses to the other process. */
export interface ToldError {
  readonly error: { readonly code: StableDiffusionError['code']; readonly message: string };
}

async function work(kind: PictureWorkKind, given: unknown, limits: PictureLimits): Promise<unknown> {
  try {
    const run = pictureWorks[kind] as (given: unknown, limits: PictureLimits) => Promise<unknown>;
    return { made: await run(given, limits) };
  } catch (error) {
    if (!(error instanceof StableDiffusionError)) throw error;
    return { error: { code: error.code, message: error.message } } satisfies ToldError;
  }
}

// If memory runs out, this process is to end and not the server.
try {
  writeFileSync('/proc/self/oom_score_adj', '1000');
} catch {
  // only Linux has it
}

workerpool.worker({ work });
