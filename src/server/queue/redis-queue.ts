/**
 * JobQueue on Redis by BullMQ, for servers and workers on many machines. BullMQ keeps the jobs, their locks, priorities and retries, and
 * gives a dead worker's jobs to others. Fair shares are start tags (Goyal, Vin, Cheng 1996) that become BullMQ's priorities.
 *
 * Redis must keep what it has (`appendonly yes`), else a restart of Redis loses jobs.
 */

import type { Redis } from 'ioredis';
import { isFinished, type Job, type JobError, type JobResult, type JobState, type NewJob } from '../job.ts';
import type { JobControl, JobControlListener, JobEvent, JobEventListener } from '../job-event.ts';
import type { Admission, JobList, JobQueue, ListQuery, QueueCounts, TakeOptions } from './queue.ts';
import { type Bull, connectRedis, jobOf, type RedisConnection, type RedisQueueOptions } from './redis-connection.ts';
import { forget, placeOf, removeJob, trim } from './redis-places.ts';
import { RedisTaker } from './redis-taker.ts';

/** Characters of JSON in one list of jobs. */
const listSize = 2 ** 20;

const nobody = (): ReadonlySet<string> => new Set();

/** Connects to Redis. Throws `engine-unavailable` if the packages are not installed. */
export const openRedisQueue = async (options: RedisQueueOptions): Promise<RedisQueue> =>
  new RedisQueue(await connectRedis(options));

export class RedisQueue implements JobQueue {
  readonly redis: Redis;
  readonly #connection: RedisConnection;
  readonly #taker: RedisTaker;
  #isSearching = false;
  #closed = false;

  constructor(connection: RedisConnection) {
    this.#connection = connection;
    this.redis = connection.redis;
    this.#taker = new RedisTaker(connection);
  }

  async add(job: NewJob, admission: Admission): Promise<Job> {
    const known = await this.#connection.find(job.id);
    if (known) return known.job;
    const priority = await placeOf(this.#connection, job, admission);
    const bull = await this.#connection.queue.add('job', job, { jobId: job.id, priority });
    const listKey = this.#connection.key('owner', job.owner);
    const { keepSeconds } = this.#connection.options;
    await this.redis
      .multi()
      .zadd(listKey, bull.timestamp, job.id)
      .zremrangebyscore(listKey, '-inf', bull.timestamp - 2000 * keepSeconds)
      .expire(listKey, 2 * keepSeconds)
      .exec();
    this.#connection.channel.tell({ wake: true });
    return jobOf(bull as Bull, 'queued');
  }

  async get(id: string): Promise<Job | undefined> {
    return (await this.#connection.find(id))?.job;
  }

  stateOf(id: string): Promise<JobState | undefined> {
    return this.#connection.stateOf(id);
  }

  async list({ owner, state, source, before, limit }: ListQuery): Promise<JobList> {
    const jobs: Job[] = [];
    const key = this.#connection.key('owner', owner);
    const rank = before === undefined ? -1 : await this.redis.zrevrank(key, before);
    if (rank === null) return { jobs, next: null }; // An unknown job has no successors.
    let size = 0;
    for (let offset = rank + 1; ; offset += 20) {
      const ids = await this.redis.zrevrange(key, offset, offset + 19);
      for (const found of await Promise.all(ids.map((id) => this.#connection.find(id)))) {
        if (!found || (state && found.job.state !== state) || (source && found.job.source !== source)) continue;
        jobs.push(found.job);
        size += JSON.stringify(found.job).length;
        if (jobs.length >= limit || size > listSize) return { jobs, next: found.job.id };
      }
      if (ids.length < 20) return { jobs, next: null };
    }
  }

  async counts(): Promise<QueueCounts> {
    const {
      waiting = 0,
      prioritized = 0,
      delayed = 0,
      active = 0,
    } = await this.#connection.queue.getJobCounts('waiting', 'prioritized', 'delayed', 'active');
    return { queued: waiting + prioritized + delayed, running: active };
  }

  async cancel(id: string): Promise<Job | undefined> {
    const found = await this.#connection.find(id);
    if (!found || isFinished(found.job)) return found?.job;
    const job: Job = { ...found.job, state: 'cancelled', finishedAt: Date.now() };
    const note = this.#connection.key('cancelled', id);
    if ((await this.redis.set(note, JSON.stringify(job), 'EX', this.#connection.options.keepSeconds, 'NX')) === null)
      return (await this.#connection.find(id))?.job;
    if (found.job.state === 'queued') await found.bull?.remove().catch(() => {}); // a worker has just taken it
    // If it was finished in between, that stands.
    const after = (await this.#connection.queue.getJob(id)) as Bull | undefined;
    if (after && (await after.getState()) === 'completed') {
      await this.redis.del(note);
      return jobOf(after, 'done');
    }
    this.#connection.channel.tell({ control: 'cancel', id });
    await this.#ended(job);
    return job;
  }

  async take({ pictures, signal, except = nobody }: TakeOptions): Promise<readonly Job[]> {
    this.#taker.begin();
    if (!this.#isSearching) {
      this.#isSearching = true;
      this.#connection.worker.startStalledCheckTimer().catch(this.#connection.options.onError);
    }
    while (!signal.aborted && !this.#closed) {
      const jobs = await this.#taker.takeNow(pictures, except());
      if (jobs.length > 0) {
        for (const job of jobs) this.publish({ kind: 'state', id: job.id, job });
        return jobs;
      }
      await this.#pause(signal);
    }
    return [];
  }

  async complete(job: Job, result: JobResult): Promise<boolean> {
    const cancelled = await this.#connection.isCancelled(job.id);
    const ok = await this.#taker.settle(job, ({ bull, token }) =>
      cancelled
        ? bull.moveToFailed(this.#connection.final('cancelled'), token)
        : bull.moveToCompleted(result, token, false),
    );
    if (!ok || cancelled) return false;
    const done = await this.#connection.find(job.id);
    if (done) await this.#ended(done.job);
    return true;
  }

  async fail(job: Job, error: JobError, { retry }: { readonly retry: boolean }): Promise<boolean> {
    const cancelled = await this.#connection.isCancelled(job.id);
    const reason = cancelled ? 'cancelled' : JSON.stringify(error);
    const cause = retry && !cancelled ? new Error(reason) : this.#connection.final(reason);
    const ok = await this.#taker.settle(job, ({ bull, token }) => bull.moveToFailed(cause, token, false));
    if (!ok || cancelled) return false;
    const after = await this.#connection.find(job.id);
    if (after && isFinished(after.job)) await this.#ended(after.job);
    else if (after) this.publish({ kind: 'state', id: job.id, job: after.job });
    return true;
  }

  async release(job: Job): Promise<void> {
    await this.#taker.settle(job, async (taken) => {
      await this.#taker.putBack(taken);
      this.#connection.channel.tell({ wake: true });
    });
  }

  send(id: string, control: JobControl): void {
    this.#connection.channel.tell({ control, id });
  }

  onControl(listener: JobControlListener): () => void {
    this.#connection.channel.controllers.add(listener);
    return () => this.#connection.channel.controllers.delete(listener);
  }

  publish(event: JobEvent): void {
    this.#connection.channel.tell({ event });
  }

  subscribe(listener: JobEventListener): () => void {
    this.#connection.channel.listeners.add(listener);
    return () => this.#connection.channel.listeners.delete(listener);
  }

  async ready(): Promise<boolean> {
    return this.redis.status === 'ready' && !this.#closed;
  }

  async hasTaker(): Promise<boolean> {
    return (await this.redis.exists(this.#connection.key('taker'))) === 1;
  }

  async remove(id: string): Promise<void> {
    const found = await this.#connection.find(id);
    if (found && isFinished(found.job)) await removeJob(this.#connection, found.job.owner, id, found.bull);
  }

  async prune(): Promise<number> {
    return 0; // BullMQ removes by age
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#taker.close();
    this.#connection.channel.wake();
    await this.#connection.close();
  }

  async #ended(job: Job): Promise<void> {
    await forget(this.#connection, job.owner, job.id);
    this.publish({ kind: 'state', id: job.id, job });
    await trim(this.#connection, job.owner);
  }

  /** Resolves when there may be work, or after a while. */
  #pause(signal: AbortSignal): Promise<void> {
    const { wakers } = this.#connection.channel;
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        wakers.delete(end);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, 300);
      wakers.add(end);
      signal.addEventListener('abort', end);
    });
  }
}
