/**
 * JobQueue in one process with a journal in a SQLite file. A job accepted by the jobs API is on the disk before it is answered (WAL,
 * synchronous FULL). A job whose caller waits on the line survives the end of the process, and so does its result; if the power fails, the
 * caller's line fails with it. Jobs that ran when the process died wait again at the next start.
 */

import type { JSValue } from 'node-sqlite3-wasm';
import { workOfJob } from '../admission/work.ts';
import type { Job, JobError, JobResult, JobState, NewJob } from '../job.ts';
import type { JobControl, JobControlListener, JobEvent, JobEventListener } from '../job-event.ts';
import { packed } from './job-rows.ts';
import { JobTable } from './job-table.ts';
import { openingError } from './sqlite-journal.ts';
import type { Admission, JobList, JobQueue, ListQuery, QueueCounts, TakeOptions } from './queue.ts';

export interface SqliteQueueOptions {
  /** The file; its folder is created. */
  readonly path: string;
  /** Maximum attempts per job. */
  readonly attempts: number;
  /** Finished jobs of one caller that are kept; the oldest are removed. Default 2000. */
  readonly keptPerCaller?: number;
  /** Fires when another process took the folder away: nothing is written any more. */
  readonly lost?: AbortSignal;
  readonly now?: () => number;
}

/** Number of finished jobs between two counts of a caller's finished jobs. */
const countEvery = 50;

const nobody = (): ReadonlySet<string> => new Set();

/** Opens or creates the journal. Its folder must be this process's own. Throws `file-corrupt`, or `file-access` where the disk is full. */
export function openSqliteQueue(options: SqliteQueueOptions): JobQueue {
  try {
    return new SqliteQueue(options);
  } catch (cause) {
    throw openingError(options.path, cause);
  }
}

class SqliteQueue implements JobQueue {
  readonly #table: JobTable;
  readonly #attempts: number;
  readonly #keptPerCaller: number;
  readonly #now: () => number;
  readonly #listeners = new Set<JobEventListener>();
  readonly #controllers = new Set<JobControlListener>();
  readonly #takers = new Set<() => void>();
  #finishedJobs = 0;

  constructor({ path, attempts, keptPerCaller = 2000, lost, now = Date.now }: SqliteQueueOptions) {
    this.#table = new JobTable(path, now);
    this.#attempts = attempts;
    this.#keptPerCaller = keptPerCaller;
    this.#now = now;
    this.#table.putBackRunning(attempts);
    lost?.addEventListener('abort', () => void this.close());
  }

  async add(job: NewJob, admission: Admission): Promise<Job> {
    const added = await this.#table.journal.write(() => this.#table.insert(job, admission), job.source === 'jobs');
    this.#wake();
    return added;
  }

  async get(id: string): Promise<Job | undefined> {
    return this.#table.find(id);
  }

  async stateOf(id: string): Promise<JobState | undefined> {
    return this.#table.journal.one('SELECT state FROM jobs WHERE id = ?', [id])?.['state'] as JobState | undefined;
  }

  async list(query: ListQuery): Promise<JobList> {
    return this.#table.list(query);
  }

  async counts(): Promise<QueueCounts> {
    return { queued: this.#table.countOf('queued'), running: this.#table.countOf('running') };
  }

  async cancel(id: string): Promise<Job | undefined> {
    const cancelled = await this.#table.journal.write(() =>
      this.#table.changed(
        `UPDATE jobs SET state = 'cancelled', finished = ? WHERE id = ? AND state IN ('queued', 'running')`,
        [this.#now(), id],
      ),
    );
    if (!cancelled) return this.#table.find(id);
    for (const controller of this.#controllers) controller(id, 'cancel');
    this.#emitState(cancelled);
    await this.#trim(cancelled.owner);
    return cancelled;
  }

  take({ pictures, signal, except = nobody }: TakeOptions): Promise<readonly Job[]> {
    return new Promise((resolve, reject) => {
      let isTaking = false;
      const end = (): void => {
        this.#takers.delete(attempt);
        signal.removeEventListener('abort', attempt);
      };
      const attempt = (): void => {
        if (isTaking) return;
        if (signal.aborted || !this.#table.journal.isOpen) {
          end();
          resolve([]);
          return;
        }
        if (this.#table.nextOwner(except()) === undefined) return;
        isTaking = true;
        // If the machine forgets this nothing is lost: the job waits again.
        this.#table.journal
          .write(() => this.#table.take(pictures, except()), false)
          .then(
            (jobs) => {
              isTaking = false;
              if (jobs.length === 0) {
                attempt();
                return;
              }
              end();
              for (const job of jobs) this.#emitState(job);
              resolve(jobs);
            },
            (error: unknown) => {
              end();
              reject(error);
            },
          );
      };
      this.#takers.add(attempt);
      signal.addEventListener('abort', attempt);
      attempt();
    });
  }

  complete(job: Job, result: JobResult): Promise<boolean> {
    return this.#finish(job, `state = 'done', result = ?, finished = ?`, [packed(result), this.#now()]);
  }

  fail(job: Job, error: JobError, { retry }: { readonly retry: boolean }): Promise<boolean> {
    if (retry && job.attempt < this.#attempts) return this.#finish(job, `state = 'queued', started = NULL`);
    return this.#finish(job, `state = 'failed', error = ?, finished = ?`, [JSON.stringify(error), this.#now()]);
  }

  async release(job: Job): Promise<void> {
    await this.#finish(job, `state = 'queued', attempt = attempt - 1, started = NULL`);
  }

  send(id: string, control: JobControl): void {
    for (const controller of this.#controllers) controller(id, control);
  }

  onControl(listener: JobControlListener): () => void {
    this.#controllers.add(listener);
    return () => this.#controllers.delete(listener);
  }

  publish(event: JobEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  subscribe(listener: JobEventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async ready(): Promise<boolean> {
    return this.#table.journal.isOpen;
  }

  /** The process that holds the file makes its jobs. */
  async hasTaker(): Promise<boolean> {
    return true;
  }

  async remove(id: string): Promise<void> {
    await this.#table.journal.write(() =>
      this.#table.journal.run('DELETE FROM jobs WHERE finished IS NOT NULL AND id = ?', [id]),
    );
  }

  prune(before: number): Promise<number> {
    return this.#table.journal.write(() => this.#table.journal.run('DELETE FROM jobs WHERE finished < ?', [before]));
  }

  async close(): Promise<void> {
    this.#table.journal.close();
    this.#wake();
  }

  #emitState(job: Job): void {
    this.publish({ kind: 'state', id: job.id, job });
  }

  #wake(): void {
    for (const taker of [...this.#takers]) taker();
  }

  /** Changes a job if its taker still holds it, and returns whether it does. */
  async #finish(job: Job, change: string, values: JSValue[] = []): Promise<boolean> {
    // If a crash loses this, the job runs again and gives the same picture from the same seed.
    const finished = await this.#table.journal.write(
      () =>
        this.#table.changed(`UPDATE jobs SET ${change} WHERE id = ? AND state = 'running' AND attempt = ?`, [
          ...values,
          job.id,
          job.attempt,
        ]),
      false,
    );
    if (!finished) return false;
    this.#emitState(finished);
    if (finished.state === 'queued') {
      this.#table.share.charge(job.owner, -workOfJob(job));
      this.#wake();
    } else await this.#trim(job.owner);
    return true;
  }

  /** Removes a caller's oldest finished jobs beyond the limit. */
  async #trim(owner: string): Promise<void> {
    if (++this.#finishedJobs % Math.min(countEvery, this.#keptPerCaller) !== 0) return;
    const sql = `DELETE FROM jobs WHERE finished IS NOT NULL AND owner = ? AND seq <= coalesce(
      (SELECT seq FROM jobs WHERE finished IS NOT NULL AND owner = ? ORDER BY seq DESC LIMIT 1 OFFSET ?), -1)`;
    await this.#table.journal.write(() => this.#table.journal.run(sql, [owner, owner, this.#keptPerCaller]), false);
  }
}
