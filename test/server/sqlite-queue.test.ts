/** The queue with a journal in a file: the conformance suite, and what only a journal has. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { after } from 'node:test';
import sqlite from 'node-sqlite3-wasm';
import { openSqliteQueue } from '../../src/server/queue/sqlite-queue.ts';
import { testQueue } from './queue-conformance.ts';
import { never, newJob, result } from './queue-jobs.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-queue-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let number = 0;
const newPath = (): string => join(folder, `${number++}`, 'jobs.sqlite');
const admission = { queueLength: 100, queuePerCaller: 100 };

testQueue({ name: 'sqlite', open: async (attempts) => openSqliteQueue({ path: newPath(), attempts }) });

test('jobs, their order and their results are there when it is opened again', async () => {
  const path = newPath();
  const first = openSqliteQueue({ path, attempts: 3 });
  const jobs = [];
  for (let i = 0; i < 3; i++) jobs.push(await first.add(newJob({ owner: i === 2 ? 'bob' : 'alice' }), admission));
  const [taken] = await first.take({ pictures: 1, signal: never() });
  assert.ok(taken);
  await first.complete(taken, result);
  await first.close();
  const second = openSqliteQueue({ path, attempts: 3 });
  assert.deepEqual((await second.get(taken.id))?.result, result);
  assert.deepEqual(await second.counts(), { queued: 2, running: 0 });
  assert.equal((await second.take({ pictures: 1, signal: never() }))[0]?.owner, 'bob', 'bob has not been served yet');
  await second.close();
});

test('a job that ran when the process ended waits again, and is given up after too many such ends', async () => {
  const path = newPath();
  let queue = openSqliteQueue({ path, attempts: 2 });
  const { id } = await queue.add(newJob(), admission);
  for (let i = 0; i < 2; i++) {
    assert.equal((await queue.take({ pictures: 1, signal: never() }))[0]?.attempt, i + 1);
    await queue.close();
    queue = openSqliteQueue({ path, attempts: 2 });
  }
  const job = await queue.get(id);
  assert.equal(job?.state, 'failed');
  assert.match(job?.error?.message ?? '', /ended 2 times/);
  await queue.close();
});

test('finished jobs are removed by age, others never', async () => {
  let time = 1000;
  const queue = openSqliteQueue({ path: newPath(), attempts: 1, now: () => time });
  const old = await queue.add(newJob(), admission);
  const [taken] = await queue.take({ pictures: 1, signal: never() });
  assert.ok(taken);
  await queue.complete(taken, result);
  time = 5000;
  const waiting = await queue.add(newJob(), admission);
  assert.equal(await queue.prune(3000), 1);
  assert.equal(await queue.get(old.id), undefined);
  assert.equal((await queue.get(waiting.id))?.state, 'queued');
  await queue.close();
});

test('many writes at once share a commit', async () => {
  const path = newPath();
  const queue = openSqliteQueue({ path, attempts: 1 });
  await Promise.all(
    Array.from({ length: 300 }, () => queue.add(newJob(), { queueLength: 1000, queuePerCaller: 1000 })),
  );
  // Each commit writes every page that it changes into the log: 300 commits of table and indexes would be far more than 300 pages.
  assert.ok(statSync(`${path}-wal`).size < 300 * 4096, `${statSync(`${path}-wal`).size} bytes`);
  assert.equal((await queue.counts()).queued, 300);
  await queue.close();
});

test('a damaged entry fails by itself, and the jobs behind it are made', async () => {
  const path = newPath();
  const first = openSqliteQueue({ path, attempts: 1 });
  const broken = await first.add(newJob(), admission);
  const sound = await first.add(newJob(), admission);
  await first.close();
  const database = new sqlite.Database(path);
  database.get('PRAGMA locking_mode = EXCLUSIVE');
  database.run('UPDATE jobs SET request = ? WHERE id = ?', ['{oops', broken.id]);
  database.close();
  const queue = openSqliteQueue({ path, attempts: 1 });
  assert.deepEqual(
    (await queue.list({ owner: 'alice', limit: 10 })).jobs.map(({ id }) => id),
    [sound.id],
  );
  assert.equal((await queue.take({ pictures: 1, signal: never() }))[0]?.id, sound.id);
  assert.equal(await queue.stateOf(broken.id), 'failed');
  await queue.close();
});

test('a damaged journal is named, and so is what to do', () => {
  const path = newPath();
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, 'no database at all, but long enough to be read as one'.repeat(100));
  assert.throws(() => openSqliteQueue({ path, attempts: 1 }), {
    code: 'file-corrupt',
    message: new RegExp(`${number - 1}/jobs\\.sqlite.*Move it away`),
  });
});

test('a journal that was emptied beside its log is not begun anew', async () => {
  const path = newPath();
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  writeFileSync(`${path}-wal`, 'jobs that are not in the file yet');
  assert.throws(() => openSqliteQueue({ path, attempts: 1 }), { code: 'file-corrupt' });
});

test("a caller's oldest finished jobs beyond the limit are removed", async () => {
  const queue = openSqliteQueue({ path: newPath(), attempts: 1, keptPerCaller: 3 });
  const ids: string[] = [];
  for (let i = 0; i < 6; i++) {
    const { id } = await queue.add(newJob(), admission);
    ids.push(id);
    await queue.cancel(id);
  }
  const kept = (await queue.list({ owner: 'alice', limit: 10 })).jobs.map(({ id }) => id);
  assert.deepEqual(kept, ids.slice(3).reverse());
  await queue.close();
});

test('a job whose prompts are repeated for its pictures is kept small', async () => {
  const path = newPath();
  const queue = openSqliteQueue({ path, attempts: 1 });
  const prompts = Array.from({ length: 32 }, () => '\u0001'.repeat(10_000));
  const seeds = prompts.map(() => 1);
  for (let i = 0; i < 20; i++) await queue.add(newJob({}, { prompts, seeds, subseeds: seeds }), admission);
  await queue.close();
  assert.ok(statSync(path).size < 500_000, `${statSync(path).size} bytes for 20 jobs of 2 MB`);
});
