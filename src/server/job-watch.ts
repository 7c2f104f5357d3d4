/** JobWatch: what the jobs of this server are doing now, for progress bars, streams of events and requests that wait for their pictures. */

import { setMaxListeners } from 'node:events';
import { StableDiffusionError } from '../errors.ts';
import { isFinished, type Job } from './job.ts';
import type { JobEvent } from './job-event.ts';
import type { JobQueue } from './queue/queue.ts';

export interface JobProgress {
  readonly job: Job;
  readonly step?: Extract<JobEvent, { kind: 'step' }>;
  readonly preview?: Extract<JobEvent, { kind: 'preview' }>;
}

export interface JobWatch {
  /** Follows a job that was just accepted. */
  track(job: Job): void;
  /** Jobs of a caller that wait or run, the oldest first. */
  open(owner: string): readonly JobProgress[];
  progress(id: string): JobProgress | undefined;
  /** Events of one job, until it is finished. The first is its state. Ends early when the signal fires. */
  events(job: Job, signal: AbortSignal): AsyncGenerator<JobEvent, void, void>;
  /** The finished job. Throws `aborted` when the signal fires, `busy` when the server stops. */
  finished(job: Job, signal: AbortSignal): Promise<Job>;
  /** Requests that still wait are answered with `busy`. */
  stop(): void;
}

/** Interval of polling a job in addition to its events, which can be lost with a connection to Redis. */
const lookUp = 2000;

export function createJobWatch(queue: JobQueue): JobWatch {
  const tracked = new Map<string, JobProgress>();
  const listeners = new Map<string, Set<(event: JobEvent) => void>>();
  const stopping = new AbortController();
  // Everybody who waits listens to it.
  setMaxListeners(0, stopping.signal);
  const onEvent = (event: JobEvent): void => {
    const known = tracked.get(event.id);
    if (event.kind === 'state') {
      if (isFinished(event.job)) tracked.delete(event.id);
      else tracked.set(event.id, { ...(event.job.state === 'queued' ? {} : known), job: event.job });
    } else if (known)
      tracked.set(event.id, event.kind === 'step' ? { ...known, step: event } : { ...known, preview: event });
    for (const listener of [...(listeners.get(event.id) ?? [])]) listener(event);
  };
  queue.subscribe(onEvent);
  const listen = (id: string, listener: (event: JobEvent) => void): (() => void) => {
    const own = listeners.get(id) ?? new Set();
    listeners.set(id, own.add(listener));
    return () => {
      own.delete(listener);
      if (own.size === 0 && listeners.get(id) === own) listeners.delete(id);
    };
  };
  /** One poll per job serves all its listeners; the job itself is read when it is finished. */
  const look = async (id: string): Promise<void> => {
    const state = await queue.stateOf(id);
    if (state === 'queued' || state === 'running') return;
    const job = await queue.get(id);
    if (job) onEvent({ kind: 'state', id, job });
  };
  const looking = setInterval(() => {
    for (const id of listeners.keys()) look(id).catch(() => {});
  }, lookUp);
  looking.unref();
  async function* events(job: Job, signal: AbortSignal): AsyncGenerator<JobEvent, void, void> {
    const waiting: JobEvent[] = [];
    let wake = (): void => {};
    const unlisten = listen(job.id, (event) => {
      // A slow client gets the newest step and preview, not a growing heap of old ones.
      const older = event.kind === 'state' ? -1 : waiting.findIndex(({ kind }) => kind === event.kind);
      if (older >= 0) waiting.splice(older, 1);
      waiting.push(event);
      wake();
    });
    const poke = (): void => wake();
    signal.addEventListener('abort', poke);
    stopping.signal.addEventListener('abort', poke);
    try {
      const now = tracked.get(job.id)?.job ?? (await queue.get(job.id)) ?? job;
      waiting.unshift({ kind: 'state', id: job.id, job: now });
      for (;;) {
        const event = waiting.shift();
        if (event) {
          yield event;
          if (event.kind === 'state' && isFinished(event.job)) {
            tracked.delete(job.id);
            return;
          }
          continue;
        }
        if (signal.aborted || stopping.signal.aborted) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      signal.removeEventListener('abort', poke);
      stopping.signal.removeEventListener('abort', poke);
      unlisten();
    }
  }
  // The news that a job is finished may have been lost.
  const sweep = setInterval(() => {
    for (const id of tracked.keys())
      queue.stateOf(id).then(
        (state) => state !== 'queued' && state !== 'running' && tracked.delete(id),
        () => {},
      );
  }, 15_000);
  sweep.unref();
  return {
    track(job) {
      if (!isFinished(job) && !tracked.has(job.id)) tracked.set(job.id, { job });
    },
    open: (owner) =>
      [...tracked.values()].filter(({ job }) => job.owner === owner).sort((a, b) => a.job.createdAt - b.job.createdAt),
    progress: (id) => tracked.get(id),
    events,
    async finished(job, signal) {
      for await (const event of events(job, signal))
        if (event.kind === 'state' && isFinished(event.job)) return event.job;
      if (signal.aborted) throw new StableDiffusionError('aborted', 'The client has gone.');
      throw new StableDiffusionError('busy', `The server is shutting down. Job ${job.id} continues when it restarts.`, {
        details: { scope: 'shutdown' },
      });
    },
    stop() {
      clearInterval(sweep);
      clearInterval(looking);
      stopping.abort();
    },
  };
}
