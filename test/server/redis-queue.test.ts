/** The queue on Redis: the conformance suite, dead workers, and a Redis that is restarted. Skipped where redis-server is not installed. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import type { RedisConnection } from '../../src/server/queue/redis-connection.ts';
import { openRedisQueue } from '../../src/server/queue/redis-queue.ts';
import { RedisTaker } from '../../src/server/queue/redis-taker.ts';
import { openRedisStore } from '../../src/server/store/redis-store.ts';
import { testQueue } from './queue-conformance.ts';
import { never, newJob, result } from './queue-jobs.ts';
import { noRedis, startRedis, type TestRedis } from './redis-server.ts';

let redis: TestRedis | undefined;
before(async () => {
  if (!noRedis) redis = await startRedis();
});
after(() => redis?.stop());

let number = 0;
const admission = { queueLength: 100, queuePerCaller: 100 };
const open = (attempts: number, prefix = `sd${number++}`, lockMilliseconds = 30_000) =>
  openRedisQueue({ url: redis?.url ?? '', prefix, attempts, keepSeconds: 600, lockMilliseconds });

testQueue({ name: 'redis', open, skip: noRedis });

test('redis: the jobs of a worker that is gone are given to another, and finished once', {
  skip: noRedis,
}, async () => {
  const dead = await open(3, 'dead', 1000);
  const { id } = await dead.add(newJob(), admission);
  const [taken] = await dead.take({ pictures: 1, signal: never() });
  assert.ok(taken);
  await dead.close(); // without a word about the job
  const living = await open(3, 'dead', 1000);
  const [again] = await living.take({ pictures: 1, signal: never() });
  assert.equal(again?.id, id);
  assert.equal(await living.complete(again, result), true);
  assert.equal((await living.get(id))?.state, 'done');
  await living.close();
});

test('redis: jobs survive a restart of Redis, and the queue goes on by itself', { skip: noRedis }, async () => {
  const queue = await open(3, 'restart');
  const waiting = await queue.add(newJob(), admission);
  const [taken] = await queue.take({ pictures: 1, signal: never() });
  assert.ok(taken);
  const second = await queue.add(newJob({}, { steps: 9 }), admission);
  await redis?.restart();
  assert.equal(await queue.complete(taken, result), true);
  assert.equal((await queue.get(waiting.id))?.state, 'done');
  const [next] = await queue.take({ pictures: 1, signal: never() });
  assert.equal(next?.id, second.id);
  await queue.close();
});

test('redis: pictures are stored by their content', { skip: noRedis }, async () => {
  const queue = await open(1, 'store');
  const store = openRedisStore({ redis: queue.redis, prefix: 'store', keepSeconds: 60 });
  const id = await store.put(new TextEncoder().encode('abc'));
  assert.equal(id, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  assert.equal(Buffer.from((await store.get(id)) ?? []).toString(), 'abc');
  assert.equal(await store.has(id), true);
  assert.equal(await store.get('../etc/passwd'), undefined);
  await queue.close();
});

test('redis: messages of other programs on the channel are passed over', { skip: noRedis }, async () => {
  const queue = await open(1, 'strange');
  for (const message of ['garbage', '{', 'null', '1', '{"event":null}', '{"event":{"kind":"state","id":"x"}}'])
    await queue.redis.publish('strange:events', message);
  const heard = new Promise<string>((resolve) => {
    queue.subscribe((event) => resolve(event.id));
  });
  queue.publish({ kind: 'step', id: 'ours', done: 1, total: 2, step: 1, steps: 2, pictures: 0 });
  assert.equal(await heard, 'ours');
  await queue.close();
});

test('redis: a worker that gives back a job which another has taken over does not change its attempts', {
  skip: noRedis,
}, async (context) => {
  const queue = await open(3, 'taken-over');
  context.after(() => queue.close());
  const { id } = await queue.add(newJob(), admission);
  const [taken] = await queue.take({ pictures: 1, signal: never() });
  assert.equal(taken?.id, id);
  const lock = `taken-over:jobs:${id}:lock`;
  assert.equal(await queue.redis.exists(lock), 1);
  await queue.redis.set(lock, 'the token of another');
  await queue.release(taken);
  const { state, attempt } = (await queue.get(id)) ?? {};
  assert.deepEqual([state, attempt], ['running', 1]);
});

test('redis: a job whose lock is lost while it is put back does not hold up the next one', async () => {
  const bullOf = (owner: string) => ({
    id: owner,
    data: { ...newJob(), id: owner, owner },
    priority: 1,
    moveToWait: async () => {
      throw new Error(`Missing lock for job ${owner}. moveJobFromActiveToWait`);
    },
  });
  const jobs = [bullOf('alice'), bullOf('bob')];
  const nothing = async (): Promise<void> => {};
  const taker = new RedisTaker({
    options: { lockMilliseconds: 600_000, onError: assert.fail },
    redis: { eval: nothing, hdel: nothing },
    worker: { getNextJob: async () => jobs.shift() },
    isCancelled: async () => false,
    key: (...parts: readonly string[]) => parts.join(':'),
    bullKey: (id: string) => id,
  } as unknown as RedisConnection);
  const taken = await taker.takeNow(1, new Set(['alice']));
  taker.close();
  assert.deepEqual(
    taken.map(({ id }) => id),
    ['bob'],
  );
});
