/**
 * JobQueue: accepted jobs, in a fair order, each finished once. `sqlite-queue.ts` keeps them in a file for one process, `redis-queue.ts` in
 * Redis for many; both pass test/server/queue-conformance.ts.
 *
 * Order: callers share alike by the work of their jobs (fair-share.ts); within a caller by priority, then first come, first served.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { Job, JobError, JobResult, JobState, NewJob } from '../job.ts';
import type { JobControl, JobControlListener, JobEvent, JobEventListener } from '../job-event.ts';

export interface Admission {
  /** Most jobs that may wait, of all callers. */
  readonly queueLength: number;
  /** Most jobs of the caller that may wait or run. */
  readonly queuePerCaller: number;
}

export interface ListQuery {
  readonly owner: string;
  readonly state?: JobState | undefined;
  /** Jobs that came by this surface alone. */
  readonly source?: NewJob['source'] | undefined;
  /** Jobs made before this one, the newest first. */
  readonly before?: string | undefined;
  readonly limit: number;
}

export interface JobList {
  readonly jobs: readonly Job[];
  /** Cursor of the next page (`before`); null at the end. A page can be shorter than the limit, because its size in bytes is bounded. */
  readonly next: string | null;
}

export interface TakeOptions {
  /** Maximum pictures of jobs taken together; the first job is always taken. */
  readonly pictures: number;
  readonly signal: AbortSignal;
  /** Callers whose jobs are not taken now. Called at each poll. */
  readonly except?: () => ReadonlySet<string>;
}

/** The error of a full queue. `scope` states whose. */
export function busy(scope: 'queue' | 'caller', waiting: number): StableDiffusionError {
  const message =
    scope === 'queue'
      ? `The queue is full: ${waiting} jobs wait.`
      : `You have ${waiting} jobs that wait or run; wait until some are finished.`;
  return new StableDiffusionError('busy', `${message} Try again later.`, { details: { scope } });
}

export interface QueueCounts {
  readonly queued: number;
  readonly running: number;
}

export interface JobQueue {
  /**
   * Adds a job; when it returns, the job survives the end of the process. If the id exists, the existing job is returned.
   * @throws `busy` with `details.scope` 'queue' or 'caller' beyond the admission; `file-access` where it cannot be kept
   */
  add(job: NewJob, admission: Admission): Promise<Job>;
  get(id: string): Promise<Job | undefined>;
  /** The state alone, without reading the job. */
  stateOf(id: string): Promise<JobState | undefined>;
  list(query: ListQuery): Promise<JobList>;
  counts(): Promise<QueueCounts>;
  /** A job that waits or runs ends as cancelled; a finished one stays what it is. Gives the job after that. */
  cancel(id: string): Promise<Job | undefined>;
  /**
   * Waits for work and takes it: the first job in order, and after it others with the same batch key, as long as they fit. An empty list
   * when the signal fires.
   */
  take(options: TakeOptions): Promise<readonly Job[]>;
  /** Ends a taken job. False if it no longer belongs to this taker: cancelled, or given to another because this one seemed dead. */
  complete(job: Job, result: JobResult): Promise<boolean>;
  /** A job could not be made: it waits again where `retry` is set and attempts are left, else it has failed. False as `complete`. */
  fail(job: Job, error: JobError, options: { readonly retry: boolean }): Promise<boolean>;
  /** Puts a job back that was taken and not worked on; it does not count as an attempt. */
  release(job: Job): Promise<void>;
  /** Notifies the worker of the job. */
  send(id: string, control: JobControl): void;
  onControl(listener: JobControlListener): () => void;
  /** Notifies the listeners. */
  publish(event: JobEvent): void;
  /** All events of all jobs, including state changes. */
  subscribe(listener: JobEventListener): () => void;
  /** True while jobs can be taken in and given out. */
  ready(): Promise<boolean>;
  /** True where somebody takes jobs, or did a moment ago. */
  hasTaker(): Promise<boolean>;
  /** Removes a job that is finished. */
  remove(id: string): Promise<void>;
  /** Removes finished jobs that ended before a moment (milliseconds since 1970). */
  prune(before: number): Promise<number>;
  close(): Promise<void>;
}
