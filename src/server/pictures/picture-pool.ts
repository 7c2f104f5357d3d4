/**
 * Callers' pictures are decoded and processed in a few separate processes (workerpool). If a file crashes a decoder, the server
 * continues: a task has a time limit, a process that ends is replaced, and callers take turns, one task of each at a time.
 */

import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import workerpool from 'workerpool';
import { StableDiffusionError } from '../../errors.ts';
import { createTurns } from '../run/turns.ts';
import type { ToldError } from './picture-process.ts';
import type { PictureLimits, PictureWorkKind, PictureWorks } from './picture-work.ts';

export interface PicturePoolOptions extends PictureLimits {
  /** Processes. */
  readonly together: number;
  /** Seconds for one piece of work. */
  readonly seconds: number;
}

export interface PicturePool {
  /** Throws what the work throws; `too-large` when it takes too long, `engine-failed` when its process ends, `aborted`. */
  run<K extends PictureWorkKind>(
    kind: K,
    given: PictureWorks[K][0],
    caller: { readonly owner: string; readonly signal: AbortSignal },
  ): Promise<PictureWorks[K][1]>;
  close(): Promise<void>;
}

/** Next to this file, with the same extension: source or compiled. */
const ownFile = fileURLToPath(import.meta.url);
const processFile = join(dirname(ownFile), `picture-process${extname(ownFile)}`);

/** Megabytes of JavaScript in one process. Pixels lie outside of it, and are bounded by their number. */
const heapMegabytes = 512;

export function createPicturePool({ together, seconds, maxPixels, infotextLength }: PicturePoolOptions): PicturePool {
  const turns = createTurns(together, 1);
  const limits: PictureLimits = { maxPixels, infotextLength };
  const pool = workerpool.pool(processFile, {
    workerType: 'process',
    maxWorkers: together,
    forkOpts: {
      serialization: 'advanced',
      execArgv: [...process.execArgv, `--max-old-space-size=${heapMegabytes}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    },
  });
  return {
    async run(kind, given, { owner, signal }) {
      const end = await turns.take(owner, signal);
      const begun = performance.now();
      try {
        if (signal.aborted) throw new StableDiffusionError('aborted', 'The client has gone.');
        const answer = (await pool.exec('work', [kind, given, limits]).timeout(seconds * 1000)) as
          | { readonly made: PictureWorks[typeof kind][1] }
          | ToldError;
        if ('error' in answer) throw new StableDiffusionError(answer.error.code, answer.error.message);
        return answer.made;
      } catch (cause) {
        if (cause instanceof StableDiffusionError) throw cause;
        if (cause instanceof workerpool.Promise.TimeoutError)
          throw new StableDiffusionError(
            'too-large',
            `Work on the picture took longer than ${seconds} seconds. Send a smaller one, or save it again with another program.`,
          );
        throw new StableDiffusionError('engine-failed', 'The process that worked on the picture ended.', { cause });
      } finally {
        end([[owner, performance.now() - begun]]);
      }
    },
    async close() {
      await pool.terminate(true);
    },
  };
}
