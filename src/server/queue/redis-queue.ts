/**
 * JobQueue on Redis by BullMQ, for servers and workers on many machines. BullMQ keeps the jobs, their locks, priorities and retries, and
 * gives a dead worker's jobs to others; fair shares are start tags (fair-share.ts) that become BullMQ's priorities.
 *
 * Redis must be told to keep what it has (`appendonly yes`), else a restart of Redis loses jobs.
 */

import { randomUUID } from 'node:crypto';
import type { Job as BullJob } from 'bullmq';
import type { Redis } from 'ioredis';
import { StableDiffusionError } from '../../errors.ts';
import {
  batchKey,
  isFinished,
  type Job,
  type JobError,
  type JobResult,
  type JobState,
  type NewJob,
  priorities,
} from '../job.ts';
import type { JobControl, JobControlListener, JobEvent, JobEventListener } from '../job-event.ts';
import type { JobQueue } from './queue.ts';

export interface RedisQueueOptions {
  /** `redis://host:port` */
  readonly url: string;
  /** Begins all keys; servers and workers with the same one work together. */
  readonly prefix: string;
  readonly attempts: number;
  /** How long finished jobs are kept. */
  readonly keepSeconds: number;
  /** A worker that is not heard of for so long is dead, and its jobs are given to others. Default 30000 ms. */
  readonly lockMilliseconds?: number;
  /** What goes wrong in the background: lost connections. */
  readonly onError?: (error: Error) => void;
}

/** Jobs of one priority: start tags up to this are told apart, those beyond are first come, first served. BullMQ's priorities end at 2^21. */
const tagsPerPriority = 500_000;

/** Admission and start tag in one step. KEYS: wait, prioritized, delayed, open jobs of the owner, ends, time. */
const admitScript = `
local queued = redis.call('LLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3])
if queued >= tonumber(ARGV[1]) then return {1, queued} end
local open = redis.call('ZCARD', KEYS[4])
if open >= tonumber(ARGV[2]) then return {2, open} end
if queued == 0 then redis.call('DEL', KEYS[5], KEYS[6]) end
local start = math.max(tonumber(redis.call('GET', KEYS[6]) or '0'), tonumber(redis.call('HGET', KEYS[5], ARGV[3]) or '0'))
redis.call('HSET', KEYS[5], ARGV[3], start + tonumber(ARGV[4]))
redis.call('ZADD', KEYS[4], ARGV[6], ARGV[5])
return {0, start}`;

const timeScript = `
local time = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) > time then redis.call('SET', KEYS[1], ARGV[1]) end
return 0`;

/** A job that is put back was not begun: BullMQ counts beginnings in the field `ats`. KEYS: the job. */
const notBegunScript = `
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HINCRBY', KEYS[1], 'ats', -1) end
return 0`;

type Message =
  | { readonly event: JobEvent }
  | { readonly control: JobControl; readonly id: string }
  | { readonly wake: true };

interface StoredJob extends NewJob {
  readonly tag: number;
}

type Bull = BullJob<StoredJob, JobResult>;

async function loadBull(): Promise<{ bullmq: typeof import('bullmq'); Redis: typeof Redis }> {
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

const stateOf: Readonly<Record<string, JobState>> = {
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
    message: /stalled/.test(reason ?? '')
      ? 'The workers that made this job ended before it was done.'
      : (reason ?? 'The job failed.'),
  };
}

/** Connects to Redis. Throws `engine-unavailable` where the packages are not installed. */
export async function openRedisQueue(options: RedisQueueOptions): Promise<JobQueue & { readonly redis: Redis }> {
  const { prefix, attempts, keepSeconds, lockMilliseconds = 30_000, onError = () => {} } = options;
  const { bullmq, Redis: RedisClient } = await loadBull();
  const connect = (): Redis => {
    const redis = new RedisClient(options.url, {
      maxRetriesPerRequest: null,
      retryStrategy: (times) => Math.min(100 * times, 2000),
    });
    redis.on('error', onError);
    return redis;
  };
  const redis = connect();
  const subscriber = connect();
  const workerConnection = connect();
  const name = 'jobs';
  const queue = new bullmq.Queue<StoredJob, JobResult, string>(name, {
    connection: redis,
    prefix,
    defaultJobOptions: {
      attempts,
      backoff: { type: 'fixed', delay: 200 },
      removeOnComplete: { age: keepSeconds },
      removeOnFail: { age: keepSeconds },
    },
  });
  // Fetched by hand, so that jobs can be taken together; it is only there for BullMQ's locks and its search for dead workers' jobs.
  const worker = new bullmq.Worker<StoredJob, JobResult, string>(name, null, {
    connection: workerConnection,
    prefix,
    autorun: false,
    lockDuration: lockMilliseconds,
    stalledInterval: Math.max(1000, lockMilliseconds / 2),
    maxStalledCount: attempts,
  });
  queue.on('error', onError);
  worker.on('error', onError);
  const key = (...parts: string[]): string => [prefix, ...parts].join(':');
  const bullKey = (part: string): string => key(name, part);
  const openKey = (owner: string): string => key('open', owner);

  const listeners = new Set<JobEventListener>();
  const controllers = new Set<JobControlListener>();
  const wakers = new Set<() => void>();
  const channel = key('events');
  subscriber.on('message', (_channel, body) => {
    const message = JSON.parse(body) as Message;
    if ('event' in message) for (const listener of listeners) listener(message.event);
    else if ('control' in message) for (const controller of controllers) controller(message.id, message.control);
    else for (const waker of wakers) waker();
  });
  await subscriber.subscribe(channel);
  const tell = (message: Message): void => void redis.publish(channel, JSON.stringify(message)).catch(onError);

  /** Jobs that this process makes, with the proof that they are its own. */
  const held = new Map<string, { readonly bull: Bull; readonly token: string }>();
  const renewal = setInterval(() => {
    if (held.size === 0) return;
    const tokens = [...held.values()].map(({ token }) => token);
    worker.extendJobLocks([...held.keys()], tokens, lockMilliseconds).catch(onError);
  }, lockMilliseconds / 3);
  let searching = false;
  let closed = false;

  const jobOf = (bull: Bull, state: JobState): Job => {
    const { tag: _tag, ...made } = bull.data;
    return {
      ...made,
      state,
      attempt: bull.attemptsStarted,
      createdAt: bull.timestamp,
      ...(bull.processedOn ? { startedAt: bull.processedOn } : {}),
      ...(bull.finishedOn && (state === 'done' || state === 'failed') ? { finishedAt: bull.finishedOn } : {}),
      ...(state === 'done' ? { result: bull.returnvalue } : {}),
      ...(state === 'failed' ? { error: errorOf(bull.failedReason) } : {}),
    };
  };
  const find = async (id: string): Promise<{ job: Job; bull: Bull | undefined } | undefined> => {
    // Asked together: each answer waits for its turn at Redis.
    const [cancelled, bullState, found] = await Promise.all([
      redis.get(key('cancelled', id)),
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
  /** Jobs on the list of a caller's open ones that are not open any more: their worker died before it said so. */
  const tidy = async (owner: string): Promise<void> => {
    for (const id of await redis.zrange(openKey(owner), '0', '-1')) {
      const found = await find(id);
      if (!found || isFinished(found.job)) await redis.zrem(openKey(owner), id);
    }
  };
  const ended = async (job: Job): Promise<void> => {
    await redis.zrem(openKey(job.owner), job.id);
    tell({ event: { kind: 'state', id: job.id, job } });
  };
  /** Ends a job in BullMQ. False where its lock is another's. */
  const settle = async (job: Job, end: (bull: Bull, token: string) => Promise<unknown>): Promise<boolean> => {
    const mine = held.get(job.id);
    held.delete(job.id);
    if (!mine) return false;
    try {
      await end(mine.bull, mine.token);
      return true;
    } catch (error) {
      const message = error instanceof Error ? error.message : '';
      if (/Missing lock|Missing key|not in the active state|Lock mismatch/i.test(message)) return false;
      throw error;
    }
  };

  const admit = async (job: NewJob, queueLength: number, queuePerCaller: number): Promise<number> => {
    const cost = job.request.prompts.length;
    const keys = [
      bullKey('wait'),
      bullKey('prioritized'),
      bullKey('delayed'),
      openKey(job.owner),
      key('ends'),
      key('time'),
    ];
    const values = [queueLength, queuePerCaller, job.owner, cost, job.id, Date.now()].map(String);
    const run = async (): Promise<number[]> =>
      (await redis.eval(admitScript, String(keys.length), ...keys, ...values)) as number[];
    let [refused = 0, number = 0] = await run();
    if (refused === 2) {
      await tidy(job.owner);
      [refused = 0, number = 0] = await run();
    }
    if (refused === 0) return number;
    const message =
      refused === 1
        ? `${number} jobs wait already; there is no room for more now.`
        : `You have ${number} jobs that wait or run; wait until some are finished.`;
    throw new StableDiffusionError('busy', `${message} Try again later.`, {
      details: { scope: refused === 1 ? 'queue' : 'caller' },
    });
  };

  const putBack = async (bull: Bull, token: string): Promise<void> => {
    await redis.eval(notBegunScript, '1', bullKey(String(bull.id)));
    await bull.moveToWait(token);
    tell({ wake: true });
  };
  const next = async (): Promise<{ bull: Bull; token: string } | undefined> => {
    const token = randomUUID();
    const bull = (await worker.getNextJob(token, { block: false })) as Bull | undefined;
    if (!bull?.id) return undefined;
    if ((await redis.exists(key('cancelled', bull.id))) === 1) {
      await bull.moveToFailed(new bullmq.UnrecoverableError('cancelled'), token).catch(onError);
      return next();
    }
    return { bull, token };
  };
  const takeNow = async (pictures: number): Promise<Job[]> => {
    const first = await next();
    if (!first) return [];
    const taken = [first];
    const wanted = batchKey(first.bull.data);
    let room = pictures - first.bull.data.request.prompts.length;
    while (room > 0 && wanted !== first.bull.data.id) {
      const other = await next();
      if (!other) break;
      const size = other.bull.data.request.prompts.length;
      if (batchKey(other.bull.data) !== wanted || size > room) {
        await putBack(other.bull, other.token);
        break;
      }
      room -= size;
      taken.push(other);
    }
    await redis.eval(timeScript, '1', key('time'), String(first.bull.data.tag));
    return taken.map(({ bull, token }) => {
      held.set(bull.data.id, { bull, token });
      return jobOf(bull, 'running');
    });
  };
  /** Resolves when there may be work, or after a while. */
  const pause = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
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

  return {
    redis,
    async add(job, { queueLength, queuePerCaller }) {
      const known = await find(job.id);
      if (known) return known.job;
      const tag = await admit(job, queueLength, queuePerCaller);
      const priority = priorities.indexOf(job.priority) * tagsPerPriority + Math.min(tag, tagsPerPriority - 1) + 1;
      const bull = await queue.add('job', { ...job, tag }, { jobId: job.id, priority });
      const listKey = key('owner', job.owner);
      await redis
        .multi()
        .zadd(listKey, bull.timestamp, job.id)
        .zremrangebyscore(listKey, '-inf', bull.timestamp - 2000 * keepSeconds)
        .expire(listKey, 2 * keepSeconds)
        .exec();
      tell({ wake: true });
      return jobOf(bull as Bull, 'queued');
    },
    async get(id) {
      return (await find(id))?.job;
    },
    async list({ owner, state, before, limit }) {
      const jobs: Job[] = [];
      const rank = before === undefined ? -1 : await redis.zrevrank(key('owner', owner), before);
      if (rank === null) return []; // nothing comes after a job that is not there
      for (let offset = rank + 1; jobs.length < limit; offset += 100) {
        const ids = await redis.zrevrange(key('owner', owner), offset, offset + 99);
        const found = await Promise.all(ids.map(find));
        for (const entry of found)
          if (entry && (!state || entry.job.state === state) && jobs.length < limit) jobs.push(entry.job);
        if (ids.length < 100) break;
      }
      return jobs;
    },
    async counts() {
      const {
        waiting = 0,
        prioritized = 0,
        delayed = 0,
        active = 0,
      } = await queue.getJobCounts('waiting', 'prioritized', 'delayed', 'active');
      return { queued: waiting + prioritized + delayed, running: active };
    },
    async cancel(id) {
      const found = await find(id);
      if (!found || isFinished(found.job)) return found?.job;
      const job: Job = { ...found.job, state: 'cancelled', finishedAt: Date.now() };
      if ((await redis.set(key('cancelled', id), JSON.stringify(job), 'EX', keepSeconds, 'NX')) === null)
        return (await find(id))?.job;
      if (found.job.state === 'queued') await found.bull?.remove().catch(() => {}); // a worker has just taken it
      // It may have been finished in between: then that stands.
      const after = (await queue.getJob(id)) as Bull | undefined;
      if (after && stateOf[await after.getState()] === 'done') {
        await redis.del(key('cancelled', id));
        return jobOf(after, 'done');
      }
      tell({ control: 'cancel', id });
      await ended(job);
      return job;
    },
    async take({ pictures, signal }) {
      if (!searching) {
        searching = true;
        worker.startStalledCheckTimer().catch(onError);
      }
      while (!signal.aborted && !closed) {
        const jobs = await takeNow(pictures);
        if (jobs.length > 0) {
          for (const job of jobs) tell({ event: { kind: 'state', id: job.id, job } });
          return jobs;
        }
        await pause(signal);
      }
      return [];
    },
    async complete(job, result) {
      const cancelled = (await redis.exists(key('cancelled', job.id))) === 1;
      const ok = await settle(job, (bull, token) =>
        cancelled
          ? bull.moveToFailed(new bullmq.UnrecoverableError('cancelled'), token)
          : bull.moveToCompleted(result, token, false),
      );
      if (!ok || cancelled) return false;
      const done = await find(job.id);
      if (done) await ended(done.job);
      return true;
    },
    async fail(job, error, { retry }) {
      const cancelled = (await redis.exists(key('cancelled', job.id))) === 1;
      const reason = cancelled ? 'cancelled' : JSON.stringify(error);
      const cause = retry && !cancelled ? new Error(reason) : new bullmq.UnrecoverableError(reason);
      const ok = await settle(job, (bull, token) => bull.moveToFailed(cause, token, false));
      if (!ok || cancelled) return false;
      const after = await find(job.id);
      if (after && isFinished(after.job)) await ended(after.job);
      else if (after) tell({ event: { kind: 'state', id: job.id, job: after.job } });
      return true;
    },
    async release(job) {
      await settle(job, putBack);
    },
    send(id, control) {
      tell({ control, id });
    },
    onControl(listener) {
      controllers.add(listener);
      return () => controllers.delete(listener);
    },
    publish(event) {
      tell({ event });
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async ready() {
      return redis.status === 'ready' && !closed;
    },
    async prune() {
      return 0; // BullMQ removes by age
    },
    async close() {
      if (closed) return;
      closed = true;
      clearInterval(renewal);
      for (const waker of wakers) waker();
      // A connection that is being made again would keep BullMQ waiting.
      const soon = <T>(work: Promise<T>): Promise<unknown> =>
        Promise.race([work.catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1000).unref())]);
      await soon(worker.close(true));
      await soon(queue.close());
      for (const connection of [redis, subscriber, workerConnection]) connection.disconnect();
    },
  };
}
