/** In which order every JobQueue gives its jobs, and which together. */

import assert from 'node:assert/strict';
import type { JobRequest } from '../../src/server/job.ts';
import { admission, expectNone, jobRequest, never, newJob, result, takeOne, type QueueCheck } from './queue-jobs.ts';

export const takingChecks: readonly QueueCheck[] = [
  {
    title: 'a job is taken in, made and finished',
    run: async (queue) => {
      const added = await queue.add(newJob(), admission);
      assert.equal(added.state, 'queued');
      assert.deepEqual(await queue.counts(), { queued: 1, running: 0 });
      const taken = await takeOne(queue);
      assert.equal(taken.id, added.id);
      assert.equal(taken.attempt, 1);
      assert.deepEqual(taken.request, added.request);
      assert.equal((await queue.get(added.id))?.state, 'running');
      assert.deepEqual(await queue.counts(), { queued: 0, running: 1 });
      assert.equal(await queue.complete(taken, result), true);
      const done = await queue.get(added.id);
      assert.equal(done?.state, 'done');
      assert.deepEqual(done?.result, result);
      assert.ok((done?.finishedAt ?? 0) >= (done?.createdAt ?? 0));
      assert.equal(await queue.complete(taken, result), false, 'a job is finished once');
      await expectNone(queue);
    },
  },
  {
    title: 'an id that is there already is the same job',
    run: async (queue) => {
      const job = newJob();
      await queue.add(job, admission);
      const again = await queue.add({ ...job, request: jobRequest({ steps: 9 }) }, admission);
      assert.equal((again.request as JobRequest).steps, 2);
      assert.deepEqual(await queue.counts(), { queued: 1, running: 0 });
      await queue.complete(await takeOne(queue), result);
      assert.equal((await queue.add(job, admission)).state, 'done');
    },
  },
  {
    title: 'first come, first served',
    run: async (queue) => {
      const jobs = [newJob(), newJob(), newJob()];
      for (const job of jobs) await queue.add(job, admission);
      for (const job of jobs) {
        const taken = await takeOne(queue);
        assert.equal(taken.id, job.id);
        await queue.complete(taken, result);
      }
    },
  },
  {
    title: "priorities order a caller's own jobs",
    run: async (queue) => {
      const [low, normal, high] = [newJob({ priority: 'low' }), newJob(), newJob({ priority: 'high' })];
      for (const job of [low, normal, high]) await queue.add(job, admission);
      const order = [(await takeOne(queue)).id, (await takeOne(queue)).id, (await takeOne(queue)).id];
      assert.deepEqual(order, [high.id, normal.id, low.id]);
    },
  },
  {
    title: "a caller's priorities do not put it before others",
    run: async (queue) => {
      for (let i = 0; i < 4; i++) await queue.add(newJob({ owner: 'loud', priority: 'high' }), admission);
      for (let i = 0; i < 4; i++) await queue.add(newJob({ owner: 'quiet', priority: 'low' }), admission);
      const owners: string[] = [];
      for (let i = 0; i < 4; i++) owners.push((await takeOne(queue)).owner);
      assert.equal(owners.filter((owner) => owner === 'quiet').length, 2, owners.join());
    },
  },
  {
    title: 'a job of many steps at a large size counts for its work',
    run: async (queue) => {
      for (let i = 0; i < 2; i++)
        await queue.add(newJob({ owner: 'big' }, { steps: 100, width: 512, height: 512 }), admission);
      for (let i = 0; i < 5; i++) await queue.add(newJob({ owner: 'small' }, { width: 512, height: 512 }), admission);
      const owners: string[] = [];
      for (let i = 0; i < 7; i++) owners.push((await takeOne(queue)).owner);
      assert.deepEqual(owners, ['big', ...Array(5).fill('small'), 'big']);
    },
  },
  {
    title: 'jobs of callers that are busy are left',
    run: async (queue) => {
      await queue.add(newJob({ owner: 'busy' }), admission);
      const { id } = await queue.add(newJob({ owner: 'idle' }), admission);
      const [taken] = await queue.take({
        pictures: 1,
        signal: never(),
        except: () => new Set(['busy']),
      });
      assert.equal(taken?.id, id);
      assert.deepEqual(
        await queue.take({ pictures: 1, signal: AbortSignal.timeout(100), except: () => new Set(['busy']) }),
        [],
      );
      assert.equal((await takeOne(queue)).owner, 'busy');
    },
  },
  {
    title: 'the state of a job is known without reading it',
    run: async (queue) => {
      const { id } = await queue.add(newJob(), admission);
      assert.equal(await queue.stateOf(id), 'queued');
      await queue.cancel(id);
      assert.equal(await queue.stateOf(id), 'cancelled');
      assert.equal(await queue.stateOf('nobody'), undefined);
    },
  },
  {
    title: 'a list of large jobs comes in parts of bounded size',
    run: async (queue) => {
      const prompts = Array.from({ length: 32 }, (_, i) => 'x'.repeat(10_000 + i));
      for (let i = 0; i < 6; i++)
        await queue.add(
          newJob({}, { prompts, seeds: prompts.map(() => 1), subseeds: prompts.map(() => 1) }),
          admission,
        );
      const seen = new Set<string>();
      let parts = 0;
      for (let before: string | undefined; ; parts++) {
        const { jobs, next } = await queue.list({ owner: 'alice', limit: 100, before });
        assert.ok(jobs.length <= 4, `${jobs.length} jobs of 320 KB in one part`);
        for (const { id } of jobs) seen.add(id);
        if (next === null) break;
        before = next;
      }
      assert.equal(seen.size, 6);
      assert.ok(parts >= 1);
    },
  },
  {
    title: 'callers share alike',
    run: async (queue) => {
      for (let i = 0; i < 10; i++) await queue.add(newJob({ owner: 'greedy' }), admission);
      for (let i = 0; i < 3; i++) await queue.add(newJob({ owner: 'modest' }), admission);
      const owners: string[] = [];
      for (let i = 0; i < 8; i++) {
        const job = await takeOne(queue);
        owners.push(job.owner);
        await queue.complete(job, result);
      }
      assert.equal(owners.slice(0, 6).filter((owner) => owner === 'modest').length, 3, `in turn: ${owners.join()}`);
    },
  },
  {
    title: 'small jobs count by their work too',
    run: async (queue) => {
      for (let i = 0; i < 4; i++) await queue.add(newJob({ owner: 'long' }, { steps: 8 }), admission);
      for (let i = 0; i < 12; i++) await queue.add(newJob({ owner: 'short' }, { steps: 2 }), admission);
      const owners: string[] = [];
      for (let i = 0; i < 10; i++) owners.push((await takeOne(queue)).owner);
      assert.equal(owners.filter((owner) => owner === 'short').length, 8, owners.join());
    },
  },
  {
    title: 'a job of many pictures counts as many',
    run: async (queue) => {
      const pictures = (count: number): Partial<JobRequest> => ({
        prompts: Array(count).fill('x'),
        seeds: Array(count).fill(1),
        subseeds: Array(count).fill(1),
      });
      for (let i = 0; i < 3; i++) await queue.add(newJob({ owner: 'big' }, pictures(4)), admission);
      for (let i = 0; i < 5; i++) await queue.add(newJob({ owner: 'small' }), admission);
      const owners: string[] = [];
      for (let i = 0; i < 6; i++) owners.push((await takeOne(queue)).owner);
      assert.equal(owners.filter((owner) => owner === 'small').length, 4, owners.join());
    },
  },
  {
    title: 'jobs of the same kind are taken together, others are not',
    run: async (queue) => {
      const same = [newJob(), newJob({}, { prompts: ['a car'], negativePrompt: 'bad', seeds: [5] }), newJob()];
      for (const job of same) await queue.add(job, admission);
      const other = newJob({}, { steps: 3 });
      await queue.add(other, admission);
      const taken = await queue.take({ pictures: 8, signal: never() });
      assert.deepEqual(
        taken.map(({ id }) => id),
        same.map(({ id }) => id),
      );
      const rest = await queue.take({ pictures: 8, signal: never() });
      assert.deepEqual(
        rest.map(({ id, attempt }) => [id, attempt]),
        [[other.id, 1]],
      );
    },
  },
  {
    title: 'no more pictures are taken together than asked for',
    run: async (queue) => {
      for (let i = 0; i < 5; i++) await queue.add(newJob(), admission);
      assert.equal((await queue.take({ pictures: 3, signal: never() })).length, 3);
      assert.equal((await queue.take({ pictures: 3, signal: never() })).length, 2);
    },
  },
  {
    title: 'a job whose pictures depend on its batch is taken alone',
    run: async (queue) => {
      for (let i = 0; i < 2; i++) await queue.add(newJob({}, { noise: 'compvis' }), admission);
      assert.equal((await queue.take({ pictures: 8, signal: never() })).length, 1);
    },
  },
  {
    title: 'a waiting taker is woken',
    run: async (queue) => {
      const taking = queue.take({ pictures: 1, signal: never() });
      const job = newJob();
      await queue.add(job, admission);
      assert.deepEqual(
        (await taking).map(({ id }) => id),
        [job.id],
      );
    },
  },
  {
    title: 'two takers never get the same job',
    run: async (queue) => {
      for (let i = 0; i < 12; i++) await queue.add(newJob(), admission);
      const taken = await Promise.all(Array.from({ length: 4 }, () => queue.take({ pictures: 3, signal: never() })));
      const ids = taken.flat().map(({ id }) => id);
      assert.equal(new Set(ids).size, 12);
      assert.equal(ids.length, 12);
    },
  },
];
