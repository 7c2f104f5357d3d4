/** The connections of a queue on Redis, and BullMQ's jobs as jobs of this program. */

import type { Job as BullJob, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { StableDiffusionError } from '../../errors.ts';
import type { Job, JobError, JobResult, JobState, NewJob } from '../job.ts';
import { RedisChannel } from './redis-channel.ts';

export interface RedisQueueOptions {
  /** `redis://host:port` */
  readonly url: string;
  /** Begins all keys; servers and workers with the same one work together. */
  readonly prefix: string;
  readonly attempts: number;
  /** Retention of finished jobs. */
  readonly keepSeconds: number;
  /** Jobs of one caller that are kept; the oldest finished ones are removed. Default 2000. */
  readonly keptPerCaller?: number;
  /** A worker that stops reporting for so long is considered dead, and its jobs are given to others. Default 30000 ms. */
  readonly lockMilliseconds?: number;
  /** Background errors: lost connections. */
  readonly onError?: (error: Error) => void;
}

export type Bull = BullJob<NewJob, JobResult>;
export type BullQueue = Queue<NewJob, JobResult, string>;
export type BullWorker = Worker<NewJob, JobResult, string>;
export type Bullmq = typeof import('bullmq');

export interface Taken {
  readonly bull: Bull;
  /** The proof that the job is this process's own. */
  readonly token: string;
}

/** The name of BullMQ's queue. */
const queueName = 'jobs';

export interface RedisConnection {
  readonly options: Required<RedisQueueOptions>;
  readonly redis: Redis;
  readonly channel: RedisChannel;
  readonly queue: BullQueue;
  readonly worker: BullWorker;
  /** A key of this program. */
  key(...parts: string[]): string;
  /** A key of BullMQ's queue. */
  bullKey(part: string): string;
  /** The error that ends a job without another attempt. */
  final(reason: string): Error;
  isCancelled(id: string): Promise<boolean>;
  find(id: string): Promise<FoundJob | undefined>;
  stateOf(id: string): Promise<JobState | undefined>;
  close(): Promise<void>;
}

export interface FoundJob {
  readonly job: Job;
  /** Undefined for a cancelled job. */
  readonly bull: Bull | undefined;
}

async function loadBull(): Promise<{ bullmq: Bullmq; Redis: typeof Redis }> {
  try {
    return { bullmq: await import('bullmq'), Redis: (await import('ioredis')).Redis };
  } catch (cause) {
    throw new StableDiffusionError(
      'engine-unavailable',
      'Jobs on Redis need two packages that are not installed. Install them: npm install bullmq ioredis',
      { cause },
    );
  }
}

export const stateOf: Readonly<Record<string, JobState>> = {
  waiting: 'queued',
  prioritized: 'queued',
  delayed: 'queued',
  active: 'running',
  completed: 'done',
  failed: 'failed',
};

function errorOf(reason: string | undefined): JobError {
  try {
    const error = JSON.parse(reason ?? '') as JobError;
    if (typeof error.code === 'string' && typeof error.message === 'string') return error;
  } catch {
    // BullMQ's own words
  }
  return {
    code: 'engine-failed',
    message: (reason ?? '').includes('stalled')
      ? 'The workers that made this job ended before it was done.'
      : (reason ?? 'The job failed.'),
  };
}

export function jobOf(bull: Bull, state: JobState): Job {
  return {
    ...bull.data,
    state,
    attempt: bull.attemptsStarted,
    createdAt: bull.timestamp,
    ...(bull.processedOn ? { startedAt: bull.processedOn } : {}),
    ...(bull.finishedOn && (state === 'done' || state === 'failed') ? { finishedAt: bull.finishedOn } : {}),
    ...(state === 'done' ? { result: bull.returnvalue } : {}),
    ...(state === 'failed' ? { error: errorOf(bull.failedReason) } : {}),
  };
}

function openBull(
  { bullmq }: { readonly bullmq: Bullmq },
  redis: Redis,
  own: Redis,
  options: Required<RedisQueueOptions>,
) {
  const { prefix, attempts, keepSeconds, lockMilliseconds, onError } = options;
  const queue: BullQueue = new bullmq.Queue<NewJob, JobResult, string>(queueName, {
    connection: redis,
    prefix,
    defaultJobOptions: {
      attempts,
      backoff: { type: 'fixed', delay: 200 },
      removeOnComplete: { age: keepSeconds },
      removeOnFail: { age: keepSeconds },
    },
  });
  // Jobs are fetched by hand, so that they can be taken together: the worker is for BullMQ's locks and its search for dead workers' jobs.
  const worker: BullWorker = new bullmq.Worker<NewJob, JobResult, string>(queueName, null, {
    connection: own,
    prefix,
    autorun: false,
    lockDuration: lockMilliseconds,
    stalledInterval: Math.max(1000, lockMilliseconds / 2),
    maxStalledCount: attempts,
  });
  queue.on('error', onError);
  worker.on('error', onError);
  return { queue, worker };
}

/** Looks a job up: cancelled ones have a note of ours, others are BullMQ's. */
function finder(redis: Redis, queue: BullQueue, noteOf: (id: string) => string) {
  return async (id: string): Promise<FoundJob | undefined> => {
    // Sent together: each answer waits for its turn at Redis.
    const [cancelled, bullState, found] = await Promise.all([
      redis.get(noteOf(id)),
      queue.getJobState(id),
      queue.getJob(id) as Promise<Bull | undefined>,
    ]);
    if (cancelled !== null) return { job: JSON.parse(cancelled) as Job, bull: undefined };
    const state = stateOf[bullState];
    // It may have ended between the two answers.
    const bull =
      found && !found.finishedOn && (state === 'done' || state === 'failed')
        ? ((await queue.getJob(id)) as Bull | undefined)
        : found;
    return bull && state ? { job: jobOf(bull, state), bull } : undefined;
  };
}

/** Connects to Redis. Throws `engine-unavailable` if the packages are not installed. */
export async function connectRedis(given: RedisQueueOptions): Promise<RedisConnection> {
  const options = {
    ...given,
    lockMilliseconds: given.lockMilliseconds ?? 30_000,
    keptPerCaller: given.keptPerCaller ?? 2000,
    onError: given.onError ?? (() => {}),
  };
  const { prefix, onError } = options;
  const { bullmq, Redis: RedisClient } = await loadBull();
  const connect = (): Redis => {
    const redis = new RedisClient(options.url, {
      maxRetriesPerRequest: null,
      retryStrategy: (times) => Math.min(100 * times, 2000),
    });
    redis.on('error', onError);
    return redis;
  };
  const [redis, subscriber, own] = [connect(), connect(), connect()];
  const channel = await RedisChannel.open(subscriber, redis, `${prefix}:events`, onError);
  const { queue, worker } = openBull({ bullmq }, redis, own, options);
  const key = (...parts: string[]): string => [prefix, ...parts].join(':');
  const isCancelled = async (id: string): Promise<boolean> => (await redis.exists(key('cancelled', id))) === 1;
  return {
    options,
    redis,
    channel,
    queue,
    worker,
    key,
    bullKey: (part) => key(queueName, part),
    final: (reason) => new bullmq.UnrecoverableError(reason),
    isCancelled,
    find: finder(redis, queue, (id) => key('cancelled', id)),
    async stateOf(id) {
      const [cancelled, state] = await Promise.all([isCancelled(id), queue.getJobState(id)]);
      return cancelled ? 'cancelled' : stateOf[state];
    },
    async close() {
      // A connection that is being made again would keep BullMQ waiting.
      const soon = <T>(work: Promise<T>): Promise<unknown> =>
        Promise.race([work.catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1000).unref())]);
      await soon(worker.close(true));
      await soon(queue.close());
      for (const connection of [redis, subscriber, own]) connection.disconnect();
    },
  };
}
