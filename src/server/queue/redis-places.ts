/**
 * A caller's jobs on Redis: how many are open, which place each has in the queue, and how many are kept. A place is a start tag (Goyal, Vin,
 * Cheng 1996), which becomes BullMQ's priority.
 */

import { workOfJob } from '../admission/work.ts';
import { isFinished, type NewJob } from '../job.ts';
import { type Admission, busy } from './queue.ts';
import type { Bull, RedisConnection } from './redis-connection.ts';
import { admitScript } from './redis-scripts.ts';
import { readTurns, type Turn, withJob } from './redis-turns.ts';

/** Work in one unit of a start tag: a step of 64 x 64 with guidance. BullMQ has whole numbers for priorities; the sums keep their fractions. */
const workPerTag = 2 ** 13;

/** BullMQ's priorities end at 2^21. Tags that come near are counted from the present virtual time again. */
const lastTag = 2 ** 21 - 2;

/** Takes a job in and gives its priority for BullMQ. Throws `busy`. */
export async function placeOf(connection: RedisConnection, job: NewJob, admission: Admission): Promise<number> {
  const cost = workOfJob(job) / workPerTag;
  const start = await admit(connection, job, cost, admission);
  const tag = start > lastTag ? start - (await rebase(connection)) : start;
  return 1 + (await giveTurn(connection, job, Math.min(tag, lastTag)));
}

/** Removes finished jobs from a caller's list of open ones, if their worker died before doing so. */
async function tidy(connection: RedisConnection, owner: string): Promise<void> {
  for (const id of await connection.redis.zrange(connection.key('open', owner), '0', '-1')) {
    const state = await connection.stateOf(id);
    if (state !== 'queued' && state !== 'running') await forget(connection, owner, id);
  }
}

/** A job is not open any more. */
export async function forget(connection: RedisConnection, owner: string, id: string): Promise<void> {
  await Promise.all([
    connection.redis.zrem(connection.key('open', owner), id),
    connection.redis.hdel(connection.key('turns', owner), id),
  ]);
}

/** Removes a caller's oldest finished jobs beyond the limit. */
export async function trim(connection: RedisConnection, owner: string): Promise<void> {
  const key = connection.key('owner', owner);
  const excess = (await connection.redis.zcard(key)) - connection.options.keptPerCaller;
  if (excess <= 0) return;
  for (const id of await connection.redis.zrange(key, '0', String(Math.min(excess, 50) - 1))) {
    const found = await connection.find(id);
    if (found && !isFinished(found.job)) continue;
    await removeJob(connection, owner, id, found?.bull);
  }
}

/** Removes a finished job, and what is noted of it. */
export async function removeJob(
  connection: RedisConnection,
  owner: string,
  id: string,
  bull: Bull | undefined,
): Promise<void> {
  await bull?.remove().catch(() => {});
  await Promise.all([
    connection.redis.del(connection.key('cancelled', id)),
    connection.redis.zrem(connection.key('owner', owner), id),
  ]);
}

/** The start tag of a job that is taken in. Throws `busy`. */
async function admit(
  connection: RedisConnection,
  job: NewJob,
  cost: number,
  { queueLength, queuePerCaller }: Admission,
): Promise<number> {
  const bullKeys = ['wait', 'prioritized', 'delayed'].map((part) => connection.bullKey(part));
  const keys = [...bullKeys, connection.key('open', job.owner), connection.key('ends'), connection.key('time')];
  const values = [queueLength, queuePerCaller, job.owner, cost, job.id, Date.now()].map(String);
  const run = async (): Promise<number[]> =>
    (await connection.redis.eval(admitScript, String(keys.length), ...keys, ...values)) as number[];
  let [refused = 0, number = 0] = await run();
  if (refused === 2) {
    await tidy(connection, job.owner);
    [refused = 0, number = 0] = await run();
  }
  if (refused === 0) return number;
  throw busy(refused === 1 ? 'queue' : 'caller', number);
}

/** Counts all tags from the present virtual time, which is given back. One server at a time does so. */
async function rebase(connection: RedisConnection): Promise<number> {
  const time = Number((await connection.redis.get(connection.key('time'))) ?? '0');
  if ((await connection.redis.set(connection.key('rebasing'), '1', 'EX', 30, 'NX')) === null) return time;
  const waiting = (await connection.queue.getPrioritized()) as Bull[];
  await Promise.all(
    waiting.map((bull) => bull.changePriority({ priority: Math.max(1, bull.priority - time) }).catch(() => {})),
  );
  const ends = Object.entries(await connection.redis.hgetall(connection.key('ends')));
  const batch = connection.redis.multi().set(connection.key('time'), '0');
  for (const [owner, end] of ends) batch.hset(connection.key('ends'), owner, String(Math.max(0, Number(end) - time)));
  for (const owner of new Set(waiting.map(({ data }) => data.owner))) batch.del(connection.key('turns', owner));
  await batch.del(connection.key('rebasing')).exec();
  return time;
}

/** Gives a job its place among the caller's own by its priority: the places stay the caller's, the jobs in them move up. */
async function giveTurn(connection: RedisConnection, job: NewJob, tag: number): Promise<number> {
  const key = connection.key('turns', job.owner);
  const waiting = readTurns(await connection.redis.hgetall(key));
  const { own, moved } = withJob(waiting, { id: job.id, priority: job.priority, tag }, job.before);
  const save = (turn: Turn): Promise<unknown> => connection.redis.hset(key, turn.id, JSON.stringify(turn));
  await Promise.all([own, ...moved].map(save));
  await Promise.all(
    moved.map(async (turn) => {
      const bull = await connection.queue.getJob(turn.id);
      // A job that was just taken needs no other place.
      await bull?.changePriority({ priority: turn.tag + 1 }).catch(() => {});
    }),
  );
  return own.tag;
}
