/**
 * Runner: takes jobs from the queue and runs them until it is stopped. One per process. `concurrency` groups of jobs run at a
 * time. Further groups, of other callers, may start meanwhile; all take turns step by step (turns.ts), so that a small job does not
 * wait for the end of another caller's large one.
 */

import type { Job } from '../job.ts';
import { runJobs } from './run-jobs.ts';
import type { RunningJobs } from './running-jobs.ts';
import { createTurns } from './turns.ts';
import type { RunContext } from './work.ts';

export interface RunnerOptions extends Omit<RunContext, 'turns'> {
  /** Groups of jobs that are at work at the same time. The engine uses all cores for one, so 1 is best on a CPU. */
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

/** Groups that may be begun beyond those at work. Each holds its latents in memory while it waits for its turn. */
const besides = 2;

export function startRunner(options: RunnerOptions): Runner {
  const { queue, maxBatch, concurrency } = options;
  const context: RunContext = { ...options, turns: createTurns(concurrency) };
  const stopping = new AbortController();
  const active = new Set<RunningJobs>();
  const unlisten = queue.onControl((id, control) => {
    if (control === 'free') options.workflows.free(id).catch(options.onTrouble);
    else for (const group of active) group.control(id, control);
  });
  /** While as many groups are at work as may be, only other callers' jobs are begun. */
  const barred = (): ReadonlySet<string> =>
    active.size < concurrency ? new Set() : new Set([...active].flatMap(({ jobs }) => jobs.map(({ owner }) => owner)));
  let looking = new AbortController();
  stopping.signal.addEventListener('abort', () => looking.abort());
  const begin = (jobs: readonly Job[]): void => {
    const group = runJobs(jobs, context);
    active.add(group);
    // There may be room for another group now, or for a caller that was barred.
    group.done.finally(() => active.delete(group) && looking.abort()).catch(options.onTrouble);
  };
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        looking = new AbortController();
        if (stopping.signal.aborted) break;
        const { signal } = looking;
        if (active.size >= concurrency + besides) {
          await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
          continue;
        }
        const jobs = await queue.take({ pictures: maxBatch, signal, except: barred });
        if (!stopping.signal.aborted && jobs.length > 0) begin(jobs);
        else for (const job of jobs) await queue.release(job);
      } catch (error) {
        options.onTrouble(error);
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
    await Promise.all([...active].map(({ done }) => done));
  };
  const loops = loop();
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
