/** The states of jobs in every JobQueue: limits, ends, lists, events. */

import assert from 'node:assert/strict';
import type { JobEvent } from '../../src/server/job-event.ts';
import { admission, error, expectNone, newJob, result, takeOne, type QueueCheck } from './queue-jobs.ts';

export const stateChecks: readonly QueueCheck[] = [
  {
    title: 'full for all, full for one',
    run: async (queue) => {
      await queue.add(newJob(), { queueLength: 3, queuePerCaller: 1 });
      await assert.rejects(queue.add(newJob(), { queueLength: 3, queuePerCaller: 1 }), {
        code: 'busy',
        details: { scope: 'caller' },
      });
      await queue.add(newJob({ owner: 'bob' }), { queueLength: 2, queuePerCaller: 1 });
      await assert.rejects(queue.add(newJob({ owner: 'carol' }), { queueLength: 2, queuePerCaller: 1 }), {
        code: 'busy',
        details: { scope: 'queue' },
      });
      await queue.complete(await takeOne(queue), result);
      await queue.add(newJob(), { queueLength: 3, queuePerCaller: 1 });
    },
  },
  {
    title: 'a failed job waits again as long as attempts are left',
    attempts: 2,
    run: async (queue) => {
      const { id } = await queue.add(newJob(), admission);
      assert.equal(await queue.fail(await takeOne(queue), error, { retry: true }), true);
      const second = await takeOne(queue);
      assert.equal(second.id, id);
      assert.equal(second.attempt, 2);
      await queue.fail(second, error, { retry: true });
      const last = await queue.get(id);
      assert.equal(last?.state, 'failed');
      assert.deepEqual(last?.error, error);
      await expectNone(queue);
    },
  },
  {
    title: 'a job that can never work fails at once',
    run: async (queue) => {
      const { id } = await queue.add(newJob(), admission);
      await queue.fail(await takeOne(queue), { code: 'invalid-argument', message: 'No.' }, { retry: false });
      const failed = await queue.get(id);
      assert.equal(failed?.state, 'failed');
      assert.equal(failed?.error?.code, 'invalid-argument');
    },
  },
  {
    title: 'a job given back is taken again, before those after it',
    run: async (queue) => {
      const { id } = await queue.add(newJob(), admission);
      await queue.add(newJob({}, { steps: 7 }), admission);
      await queue.release(await takeOne(queue));
      const again = await takeOne(queue);
      assert.equal(again.id, id);
      assert.equal(again.attempt, 1, 'it had not been begun');
    },
  },
  {
    title: 'a waiting job can be cancelled',
    run: async (queue) => {
      const { id } = await queue.add(newJob(), admission);
      assert.equal((await queue.cancel(id))?.state, 'cancelled');
      assert.equal((await queue.get(id))?.state, 'cancelled');
      assert.equal((await queue.cancel(id))?.state, 'cancelled');
      assert.equal(await queue.cancel('nobody'), undefined);
      await expectNone(queue);
      assert.deepEqual(await queue.counts(), { queued: 0, running: 0 });
    },
  },
  {
    title: 'a running job can be cancelled: its taker is told, and its result is not taken',
    run: async (queue) => {
      const { id } = await queue.add(newJob(), admission);
      const told = new Promise<string>((resolve) => {
        queue.onControl((job, control) => {
          if (control === 'cancel') resolve(job);
        });
      });
      const taken = await takeOne(queue);
      assert.equal((await queue.cancel(id))?.state, 'cancelled');
      assert.equal(await told, id);
      assert.equal(await queue.complete(taken, result), false);
      assert.equal((await queue.get(id))?.state, 'cancelled');
      await expectNone(queue);
    },
  },
  {
    title: 'a finished job is not cancelled',
    run: async (queue) => {
      const { id } = await queue.add(newJob(), admission);
      await queue.complete(await takeOne(queue), result);
      assert.equal((await queue.cancel(id))?.state, 'done');
    },
  },
  {
    title: 'a caller sees its own jobs, the newest first',
    run: async (queue) => {
      const ids: string[] = [];
      for (let i = 0; i < 4; i++) {
        ids.unshift((await queue.add(newJob(), admission)).id);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await queue.add(newJob({ owner: 'bob' }), admission);
      assert.deepEqual(
        (await queue.list({ owner: 'alice', limit: 10 })).jobs.map(({ id }) => id),
        ids,
      );
      assert.deepEqual(
        (await queue.list({ owner: 'alice', limit: 2, before: ids[0] })).jobs.map(({ id }) => id),
        ids.slice(1, 3),
      );
      await queue.complete(await takeOne(queue), result);
      assert.deepEqual(
        (await queue.list({ owner: 'alice', state: 'done', limit: 10 })).jobs.map(({ id }) => id),
        [ids[3]],
      );
    },
  },
  {
    title: 'a long list is read in parts, none of which lacks a job',
    run: async (queue) => {
      const ids = (await Promise.all(Array.from({ length: 25 }, () => queue.add(newJob(), admission)))).map(
        ({ id }) => id,
      );
      const seen: string[] = [];
      for (let before: string | undefined; ; ) {
        const { jobs, next } = await queue.list({ owner: 'alice', limit: 4, before });
        seen.push(...jobs.map(({ id }) => id));
        if (next === null) break;
        before = next;
      }
      assert.equal(seen.length, 25);
      assert.deepEqual(new Set(seen), new Set(ids));
      assert.deepEqual(await queue.list({ owner: 'alice', limit: 4, before: 'nobody' }), { jobs: [], next: null });
    },
  },
  {
    title: 'listeners hear of every change, and of steps',
    run: async (queue) => {
      const heard: string[] = [];
      const finished = new Promise<void>((resolve) => {
        queue.subscribe((event: JobEvent) => {
          heard.push(event.kind === 'state' ? event.job.state : event.kind);
          if (event.kind === 'state' && event.job.state === 'done') resolve();
        });
      });
      const { id } = await queue.add(newJob(), admission);
      const taken = await takeOne(queue);
      queue.publish({ kind: 'step', id, done: 1, total: 2, step: 1, steps: 2, pictures: 0 });
      await queue.complete(taken, result);
      await finished;
      assert.deepEqual(heard, ['running', 'step', 'done']);
    },
  },
  {
    title: 'it says whether it is ready',
    run: async (queue) => {
      assert.equal(await queue.ready(), true);
    },
  },
];
