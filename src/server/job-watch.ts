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

/** Interval of polling a job in addition to its events, which can be lost with a connection to Redis. Milliseconds. */
const pollInterval = 2000;

/** Interval of forgetting finished jobs whose last event was lost. Milliseconds. */
const sweepInterval = 15_000;

export function createJobWatch(queue: JobQueue): JobWatch {
  return new QueueWatch(queue);
}

class QueueWatch implements JobWatch {
  readonly #queue: JobQueue;
  readonly #tracked = new Map<string, JobProgress>();
  readonly #listeners = new Map<string, Set<(event: JobEvent) => void>>();
  readonly #stopping = new AbortController();
  readonly #timers: readonly NodeJS.Timeout[];

  constructor(queue: JobQueue) {
    this.#queue = queue;
    // Everybody who waits listens to it.
    setMaxListeners(0, this.#stopping.signal);
    queue.subscribe((event) => this.#onEvent(event));
    this.#timers = [setInterval(() => this.#poll(), pollInterval), setInterval(() => this.#sweep(), sweepInterval)];
    for (const timer of this.#timers) timer.unref();
  }

  track(job: Job): void {
    if (!isFinished(job) && !this.#tracked.has(job.id)) this.#tracked.set(job.id, { job });
  }

  open(owner: string): readonly JobProgress[] {
    const own = [...this.#tracked.values()].filter(({ job }) => job.owner === owner);
    return own.sort((a, b) => a.job.createdAt - b.job.createdAt);
  }

  progress(id: string): JobProgress | undefined {
    return this.#tracked.get(id);
  }

  async *events(job: Job, signal: AbortSignal): AsyncGenerator<JobEvent, void, void> {
    const waiting: JobEvent[] = [];
    let wake = (): void => {};
    const unlisten = this.#listen(job.id, (event) => {
      // A slow client gets the newest step and preview, not a growing heap of old ones.
      const older = event.kind === 'state' ? -1 : waiting.findIndex(({ kind }) => kind === event.kind);
      if (older >= 0) waiting.splice(older, 1);
      waiting.push(event);
      wake();
    });
    const poke = (): void => wake();
    const ends = [signal, this.#stopping.signal];
    for (const end of ends) end.addEventListener('abort', poke);
    try {
      const now = this.#tracked.get(job.id)?.job ?? (await this.#queue.get(job.id)) ?? job;
      waiting.unshift({ kind: 'state', id: job.id, job: now });
      for (;;) {
        const event = waiting.shift();
        if (event) {
          yield event;
          if (event.kind === 'state' && isFinished(event.job)) {
            this.#tracked.delete(job.id);
            return;
          }
          continue;
        }
        if (ends.some(({ aborted }) => aborted)) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      for (const end of ends) end.removeEventListener('abort', poke);
      unlisten();
    }
  }

  async finished(job: Job, signal: AbortSignal): Promise<Job> {
    for await (const event of this.events(job, signal))
      if (event.kind === 'state' && isFinished(event.job)) return event.job;
    if (signal.aborted) throw new StableDiffusionError('aborted', 'The client has gone.');
    throw new StableDiffusionError('busy', `The server is shutting down. Job ${job.id} continues when it restarts.`, {
      details: { scope: 'shutdown' },
    });
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#stopping.abort();
  }

  #onEvent(event: JobEvent): void {
    const { id } = event;
    const known = this.#tracked.get(id);
    if (event.kind === 'state') {
      if (isFinished(event.job)) this.#tracked.delete(id);
      else this.#tracked.set(id, { ...(event.job.state === 'queued' ? {} : known), job: event.job });
    } else if (known && event.kind !== 'workflow')
      this.#tracked.set(id, event.kind === 'step' ? { ...known, step: event } : { ...known, preview: event });
    for (const listener of [...(this.#listeners.get(id) ?? [])]) listener(event);
  }

  #listen(id: string, listener: (event: JobEvent) => void): () => void {
    const own = this.#listeners.get(id) ?? new Set();
    this.#listeners.set(id, own.add(listener));
    return () => {
      own.delete(listener);
      if (own.size === 0 && this.#listeners.get(id) === own) this.#listeners.delete(id);
    };
  }

  /** One poll per job serves all its listeners; the job itself is read when it is finished. */
  #poll(): void {
    for (const id of this.#listeners.keys())
      this.#isOpen(id)
        .then(async (isOpen) => {
          const job = isOpen ? undefined : await this.#queue.get(id);
          if (job) this.#onEvent({ kind: 'state', id, job });
        })
        .catch(() => {});
  }

  #sweep(): void {
    for (const id of this.#tracked.keys())
      this.#isOpen(id).then(
        (isOpen) => isOpen || this.#tracked.delete(id),
        () => {},
      );
  }

  async #isOpen(id: string): Promise<boolean> {
    const state = await this.#queue.stateOf(id);
    return state === 'queued' || state === 'running';
  }
}
