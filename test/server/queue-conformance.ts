/** What every JobQueue does; run on each implementation. */

import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { type Job, type JobRequest, type JobResult, jobRequestSchema, type NewJob } from '../../src/server/job.ts';
import type { JobEvent } from '../../src/server/job-event.ts';
import type { JobQueue } from '../../src/server/queue/queue.ts';

export interface QueueUnderTest {
  readonly name: string;
  /** A new, empty queue; jobs are begun at most `attempts` times. Closed by the test. */
  open(attempts: number): Promise<JobQueue>;
  readonly skip?: string | false;
}

export function jobRequest(changes: Partial<JobRequest> = {}): JobRequest {
  return jobRequestSchema.parse({
    task: 'txt2img',
    model: 'pocket',
    prompts: ['a red apple'],
    negativePrompt: '',
    seeds: [1],
    subseeds: [1],
    batchSize: 1,
    width: 128,
    height: 128,
    steps: 2,
    sampler: 'Euler a',
    guidanceScale: 7,
    noise: 'a1111-cpu',
    clipSkip: 1,
    format: { type: 'png', quality: 90 },
    previews: 0,
    ...changes,
  });
}

// A timeout signal alone does not keep the process alive.
const alive = setInterval(() => {}, 1000);
after(() => clearInterval(alive));

let number = 0;
export function newJob(changes: Partial<NewJob> = {}, request: Partial<JobRequest> = {}): NewJob {
  return {
    id: `job-${process.pid}-${number++}`,
    owner: 'alice',
    source: 'jobs',
    priority: 'normal',
    request: jobRequest(request),
    ...changes,
  };
}

export const result: JobResult = { images: [], interrupted: false, modelHash: null, seconds: 1, batch: 1 };
const admission = { queueLength: 100, queuePerCaller: 100 };
const error = { code: 'engine-failed', message: 'It broke.' };

async function takeOne(queue: JobQueue, pictures = 1): Promise<Job> {
  const [job] = await queue.take({ pictures, signal: AbortSignal.timeout(5000) });
  assert.ok(job, 'a job was there to take');
  return job;
}

/** No job is given within a moment. */
async function expectNone(queue: JobQueue): Promise<void> {
  assert.deepEqual(await queue.take({ pictures: 8, signal: AbortSignal.timeout(100) }), []);
}

export function testQueue({ name, open, skip = false }: QueueUnderTest): void {
  const check = (title: string, body: (queue: JobQueue) => Promise<void>, attempts = 3): void => {
    test(`${name}: ${title}`, { skip }, async () => {
      const queue = await open(attempts);
      try {
        await body(queue);
      } finally {
        await queue.close();
      }
    });
  };

  check('a job is taken in, made and finished', async (queue) => {
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
  });

  check('an id that is there already is the same job', async (queue) => {
    const job = newJob();
    await queue.add(job, admission);
    const again = await queue.add({ ...job, request: jobRequest({ steps: 9 }) }, admission);
    assert.equal((again.request as JobRequest).steps, 2);
    assert.deepEqual(await queue.counts(), { queued: 1, running: 0 });
    await queue.complete(await takeOne(queue), result);
    assert.equal((await queue.add(job, admission)).state, 'done');
  });

  check('first come, first served', async (queue) => {
    const jobs = [newJob(), newJob(), newJob()];
    for (const job of jobs) await queue.add(job, admission);
    for (const job of jobs) {
      const taken = await takeOne(queue);
      assert.equal(taken.id, job.id);
      await queue.complete(taken, result);
    }
  });

  check("priorities order a caller's own jobs", async (queue) => {
    const [low, normal, high] = [newJob({ priority: 'low' }), newJob(), newJob({ priority: 'high' })];
    for (const job of [low, normal, high]) await queue.add(job, admission);
    const order = [(await takeOne(queue)).id, (await takeOne(queue)).id, (await takeOne(queue)).id];
    assert.deepEqual(order, [high.id, normal.id, low.id]);
  });

  check("a caller's priorities do not put it before others", async (queue) => {
    for (let i = 0; i < 4; i++) await queue.add(newJob({ owner: 'loud', priority: 'high' }), admission);
    for (let i = 0; i < 4; i++) await queue.add(newJob({ owner: 'quiet', priority: 'low' }), admission);
    const owners: string[] = [];
    for (let i = 0; i < 4; i++) owners.push((await takeOne(queue)).owner);
    assert.equal(owners.filter((owner) => owner === 'quiet').length, 2, owners.join());
  });

  check('a job of many steps at a large size counts for its work', async (queue) => {
    for (let i = 0; i < 2; i++)
      await queue.add(newJob({ owner: 'big' }, { steps: 100, width: 512, height: 512 }), admission);
    for (let i = 0; i < 5; i++) await queue.add(newJob({ owner: 'small' }, { width: 512, height: 512 }), admission);
    const owners: string[] = [];
    for (let i = 0; i < 7; i++) owners.push((await takeOne(queue)).owner);
    assert.deepEqual(owners, ['big', ...Array(5).fill('small'), 'big']);
  });

  check('jobs of callers that are busy are left', async (queue) => {
    await queue.add(newJob({ owner: 'busy' }), admission);
    const { id } = await queue.add(newJob({ owner: 'idle' }), admission);
    const [taken] = await queue.take({
      pictures: 1,
      signal: AbortSignal.timeout(5000),
      except: () => new Set(['busy']),
    });
    assert.equal(taken?.id, id);
    assert.deepEqual(
      await queue.take({ pictures: 1, signal: AbortSignal.timeout(100), except: () => new Set(['busy']) }),
      [],
    );
    assert.equal((await takeOne(queue)).owner, 'busy');
  });

  check('the state of a job is known without reading it', async (queue) => {
    const { id } = await queue.add(newJob(), admission);
    assert.equal(await queue.stateOf(id), 'queued');
    await queue.cancel(id);
    assert.equal(await queue.stateOf(id), 'cancelled');
    assert.equal(await queue.stateOf('nobody'), undefined);
  });

  check('a list of large jobs comes in parts of bounded size', async (queue) => {
    const prompts = Array.from({ length: 32 }, (_, i) => 'x'.repeat(10_000 + i));
    for (let i = 0; i < 6; i++)
      await queue.add(newJob({}, { prompts, seeds: prompts.map(() => 1), subseeds: prompts.map(() => 1) }), admission);
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
  });

  check('callers share alike', async (queue) => {
    for (let i = 0; i < 10; i++) await queue.add(newJob({ owner: 'greedy' }), admission);
    for (let i = 0; i < 3; i++) await queue.add(newJob({ owner: 'modest' }), admission);
    const owners: string[] = [];
    for (let i = 0; i < 8; i++) {
      const job = await takeOne(queue);
      owners.push(job.owner);
      await queue.complete(job, result);
    }
    assert.equal(owners.slice(0, 6).filter((owner) => owner === 'modest').length, 3, `in turn: ${owners.join()}`);
  });

  check('a job of many pictures counts as many', async (queue) => {
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
  });

  check('jobs of the same kind are taken together, others are not', async (queue) => {
    const same = [newJob(), newJob({}, { prompts: ['a car'], negativePrompt: 'bad', seeds: [5] }), newJob()];
    for (const job of same) await queue.add(job, admission);
    const other = newJob({}, { steps: 3 });
    await queue.add(other, admission);
    const taken = await queue.take({ pictures: 8, signal: AbortSignal.timeout(5000) });
    assert.deepEqual(
      taken.map(({ id }) => id),
      same.map(({ id }) => id),
    );
    const rest = await queue.take({ pictures: 8, signal: AbortSignal.timeout(5000) });
    assert.deepEqual(
      rest.map(({ id, attempt }) => [id, attempt]),
      [[other.id, 1]],
    );
  });

  check('no more pictures are taken together than asked for', async (queue) => {
    for (let i = 0; i < 5; i++) await queue.add(newJob(), admission);
    assert.equal((await queue.take({ pictures: 3, signal: AbortSignal.timeout(5000) })).length, 3);
    assert.equal((await queue.take({ pictures: 3, signal: AbortSignal.timeout(5000) })).length, 2);
  });

  check('a job whose pictures depend on its batch is taken alone', async (queue) => {
    for (let i = 0; i < 2; i++) await queue.add(newJob({}, { noise: 'compvis' }), admission);
    assert.equal((await queue.take({ pictures: 8, signal: AbortSignal.timeout(5000) })).length, 1);
  });

  check('a waiting taker is woken', async (queue) => {
    const taking = queue.take({ pictures: 1, signal: AbortSignal.timeout(5000) });
    const job = newJob();
    await queue.add(job, admission);
    assert.deepEqual(
      (await taking).map(({ id }) => id),
      [job.id],
    );
  });

  check('two takers never get the same job', async (queue) => {
    for (let i = 0; i < 12; i++) await queue.add(newJob(), admission);
    const taken = await Promise.all(
      Array.from({ length: 4 }, () => queue.take({ pictures: 3, signal: AbortSignal.timeout(5000) })),
    );
    const ids = taken.flat().map(({ id }) => id);
    assert.equal(new Set(ids).size, 12);
    assert.equal(ids.length, 12);
  });

  check('full for all, full for one', async (queue) => {
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
  });

  check(
    'a failed job waits again as long as attempts are left',
    async (queue) => {
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
    2,
  );

  check('a job that can never work fails at once', async (queue) => {
    const { id } = await queue.add(newJob(), admission);
    await queue.fail(await takeOne(queue), { code: 'invalid-argument', message: 'No.' }, { retry: false });
    const failed = await queue.get(id);
    assert.equal(failed?.state, 'failed');
    assert.equal(failed?.error?.code, 'invalid-argument');
  });

  check('a job given back is taken again, before those after it', async (queue) => {
    const { id } = await queue.add(newJob(), admission);
    await queue.add(newJob({}, { steps: 7 }), admission);
    await queue.release(await takeOne(queue));
    const again = await takeOne(queue);
    assert.equal(again.id, id);
    assert.equal(again.attempt, 1, 'it had not been begun');
  });

  check('a waiting job can be cancelled', async (queue) => {
    const { id } = await queue.add(newJob(), admission);
    assert.equal((await queue.cancel(id))?.state, 'cancelled');
    assert.equal((await queue.get(id))?.state, 'cancelled');
    assert.equal((await queue.cancel(id))?.state, 'cancelled');
    assert.equal(await queue.cancel('nobody'), undefined);
    await expectNone(queue);
    assert.deepEqual(await queue.counts(), { queued: 0, running: 0 });
  });

  check('a running job can be cancelled: its taker is told, and its result is not taken', async (queue) => {
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
  });

  check('a finished job is not cancelled', async (queue) => {
    const { id } = await queue.add(newJob(), admission);
    await queue.complete(await takeOne(queue), result);
    assert.equal((await queue.cancel(id))?.state, 'done');
  });

  check('a caller sees its own jobs, the newest first', async (queue) => {
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
  });

  check('a long list is read in parts, none of which lacks a job', async (queue) => {
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
  });

  check('listeners hear of every change, and of steps', async (queue) => {
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
  });

  check('it says whether it is ready', async (queue) => {
    assert.equal(await queue.ready(), true);
  });
}
