/** Runner: takes jobs from the queue and makes them, until it is told to stop. One a process; `concurrency` groups of jobs at a time. */

import type { Job } from '../job.ts';
import { type RunContext, type RunningJobs, runJobs } from './run-jobs.ts';

export interface RunnerOptions extends RunContext {
  /** Groups of jobs that are made at the same time. The engine uses all cores for one, so 1 is best on a CPU. */
  readonly concurrency: number;
  /** The queue could not be read. */
  readonly onTrouble: (error: unknown) => void;
}

export interface Runner {
  /** Jobs that are being made. */
  running(): readonly Job[];
  /** Takes no more jobs, waits for those under way at most so long, and gives the rest back to the queue. */
  stop(patience: number): Promise<void>;
}

export function startRunner(options: RunnerOptions): Runner {
  const { queue, maxBatch, concurrency } = options;
  const stopping = new AbortController();
  const active = new Set<RunningJobs>();
  const unlisten = queue.onControl((id, control) => {
    for (const group of active) if (group.jobs.some((job) => job.id === id)) group.control(id, control);
  });
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        const jobs = await queue.take({ pictures: maxBatch, signal: stopping.signal });
        if (jobs.length === 0) continue;
        if (stopping.signal.aborted) {
          for (const job of jobs) await queue.release(job);
          return;
        }
        const group = runJobs(jobs, options);
        active.add(group);
        await group.done.finally(() => active.delete(group));
      } catch (error) {
        options.onTrouble(error);
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  };
  const loops = Promise.all(Array.from({ length: concurrency }, loop));
  return {
    running: () => [...active].flatMap(({ jobs }) => jobs),
    async stop(patience) {
      stopping.abort();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<'late'>((resolve) => {
        timer = setTimeout(() => resolve('late'), patience);
      });
      const ended = await Promise.race([loops, late]);
      clearTimeout(timer);
      if (ended === 'late')
        for (const group of active) for (const job of group.jobs) await queue.release(job).catch(options.onTrouble);
      unlisten();
    },
  };
}
