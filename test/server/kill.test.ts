/** Processes killed in the middle of a job: what was accepted is made, and made once. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import {
  getJob,
  jobEvents,
  type JobView,
  postJob,
  type Program,
  type ServeProgram,
  startServe,
  startWork,
  untilFinished,
  untilStep,
} from './program.ts';
import { noRedis, startRedis, type TestRedis } from './redis-server.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-kill-'));
const programs = new Set<Program>();
let redis: TestRedis | undefined;
before(async () => {
  if (!noRedis) redis = await startRedis();
});
after(async () => {
  for (const program of programs) await program.end('SIGKILL');
  await redis?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const started = async <P extends Program>(starting: Promise<P>): Promise<P> => {
  const program = await starting;
  programs.add(program);
  return program;
};
/** Of a worker that is killed or frozen: its jobs are given to another after this. */
const shortLock = ['--lock-seconds', '1'];
/** Of the worker that takes them: longer than any machine holds it up. It looks for jobs without a lock twice in this time. */
const longLock = ['--lock-seconds', '6'];
const small = { prompt: 'a red apple', width: 64, height: 64, steps: 2 };
/** Long enough to be seen under way on any machine. */
const long = { ...small, width: 128, height: 128, steps: 60, iterations: 2 };

async function assertPictures(url: string, job: JobView, count: number): Promise<void> {
  assert.equal(job.state, 'done', JSON.stringify(job.error));
  assert.equal(job.result?.images.length, count);
  for (const image of job.result?.images ?? []) assert.equal((await fetch(url + image.url)).status, 200);
}

test('kill -9 of the server in the middle of a job: started again, it finishes every job it had accepted, once', async () => {
  const words = ['--data', join(folder, 'server')];
  let server = await started(startServe(words));
  const running = await postJob(server.url, long);
  const waiting = await Promise.all([3, 4, 5].map((steps) => postJob(server.url, { ...small, steps, seed: steps })));
  const keyed = await postJob(server.url, { ...small, seed: 77 }, 'order 77');
  await untilStep(server.url, running.id);
  await server.end('SIGKILL');
  server = await started(startServe(words));
  assert.equal(
    (await postJob(server.url, { ...small, seed: 77 }, 'order 77')).id,
    keyed.id,
    'a request sent again is the same job',
  );
  const again = await untilFinished(server.url, running.id);
  await assertPictures(server.url, again, 2);
  assert.equal(again.attempt, 2);
  for (const { id } of [...waiting, keyed]) {
    const job = await untilFinished(server.url, id);
    await assertPictures(server.url, job, 1);
    assert.equal(job.attempt, 1);
  }
  const { jobs } = (await (await fetch(`${server.url}/api/v1/jobs?limit=100`)).json()) as { jobs: JobView[] };
  assert.equal(jobs.length, 5, 'no job more than were accepted');
  assert.equal(await server.end('SIGTERM'), 0);
});

test('kill -9 while requests come in: a job is accepted or not, and asking again makes no second one', async () => {
  const words = ['--data', join(folder, 'storm')];
  let server: ServeProgram = await started(startServe(words));
  const ids = new Map<string, string>();
  const send = async (number: number): Promise<void> => {
    const key = `storm ${number}`;
    const job = await postJob(server.url, { ...small, seed: number, steps: 1 + (number % 3) }, key).catch(
      () => undefined,
    );
    if (!job) return;
    assert.equal(ids.get(key) ?? job.id, job.id, 'the id it was accepted with');
    ids.set(key, job.id);
  };
  const numbers = Array.from({ length: 40 }, (_, i) => i);
  for (const kills of [1, 2]) {
    const sending = numbers.map(send);
    // Once some are in, and others are not.
    while (ids.size < kills * 5)
      await Promise.race(sending).then(() => new Promise((resolve) => setImmediate(resolve)));
    await server.end('SIGKILL');
    await Promise.all(sending);
    server = await started(startServe(words));
  }
  await Promise.all(numbers.map(send));
  assert.equal(new Set(ids.values()).size, numbers.length);
  for (const id of ids.values()) await assertPictures(server.url, await untilFinished(server.url, id), 1);
  const { jobs } = (await (await fetch(`${server.url}/api/v1/jobs?limit=100`)).json()) as { jobs: JobView[] };
  assert.equal(jobs.length, numbers.length);
  await server.end('SIGKILL');
});

test('kill -9 of a worker in the middle of a job: another makes it, once', { skip: noRedis }, async () => {
  const url = redis?.url ?? '';
  const shared = ['--redis-prefix', 'kill'];
  const server = await started(startServe(['--data', join(folder, 'front'), '--no-work', '--redis', url, ...shared]));
  const first = await started(startWork(url, [...shared, ...shortLock, '--data', join(folder, 'worker1')]));
  const running = await postJob(server.url, long);
  const others = await Promise.all([3, 4].map((steps) => postJob(server.url, { ...small, steps })));
  await untilStep(server.url, running.id);
  const results: unknown[] = [];
  const following = (async () => {
    for await (const { event, data } of jobEvents(server.url, running.id))
      if (event === 'result' || event === 'error') results.push(data);
  })();
  await first.end('SIGKILL');
  const second = await started(startWork(url, [...shared, ...longLock, '--data', join(folder, 'worker2')]));
  await following;
  assert.equal(results.length, 1);
  const job = await getJob(server.url, running.id);
  await assertPictures(server.url, job, 2);
  assert.ok(job.attempt >= 2);
  for (const { id } of others) await assertPictures(server.url, await untilFinished(server.url, id), 1);
  assert.equal(await second.end('SIGTERM'), 0);
  assert.equal(await server.end('SIGTERM'), 0);
});

test('a worker that was frozen for longer than its lock does not finish a job a second time', {
  skip: noRedis,
}, async () => {
  const url = redis?.url ?? '';
  const shared = ['--redis-prefix', 'freeze'];
  const server = await started(startServe(['--data', join(folder, 'front2'), '--no-work', '--redis', url, ...shared]));
  const frozen = await started(startWork(url, [...shared, ...shortLock, '--data', join(folder, 'worker3')]));
  const { id } = await postJob(server.url, long);
  await untilStep(server.url, id);
  frozen.process.kill('SIGSTOP');
  const living = await started(startWork(url, [...shared, ...longLock, '--data', join(folder, 'worker4')]));
  const job = await untilFinished(server.url, id);
  await assertPictures(server.url, job, 2);
  frozen.process.kill('SIGCONT');
  // It goes on with its old job, whose result nobody takes, and then with new ones.
  await living.end('SIGTERM');
  const next = await postJob(server.url, { ...small, seed: 5 });
  await assertPictures(server.url, await untilFinished(server.url, next.id), 1);
  assert.deepEqual(await getJob(server.url, id), job, 'the finished job is what it was');
  await frozen.end('SIGKILL');
  await server.end('SIGKILL');
});

test('Redis killed and started again in the middle of a job: the job is finished, and jobs are taken as before', {
  skip: noRedis,
}, async () => {
  const url = redis?.url ?? '';
  const shared = ['--redis-prefix', 'restart', '--lock-seconds', '2'];
  const server = await started(startServe(['--data', join(folder, 'front3'), '--no-work', '--redis', url, ...shared]));
  const worker = await started(startWork(url, [...shared, '--data', join(folder, 'worker5')]));
  const running = await postJob(server.url, long);
  const waiting = await Promise.all([3, 4, 5].map((steps) => postJob(server.url, { ...small, steps })));
  await untilStep(server.url, running.id);
  await redis?.restart('SIGKILL');
  for (const { id } of waiting) await assertPictures(server.url, await untilFinished(server.url, id), 1);
  await assertPictures(server.url, await untilFinished(server.url, running.id), 2);
  const next = await postJob(server.url, small);
  await assertPictures(server.url, await untilFinished(server.url, next.id), 1);
  await worker.end('SIGTERM');
  await server.end('SIGTERM');
});
