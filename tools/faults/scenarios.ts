/** What is tried under faults: work that says what it was promised, and a check afterwards that each promise was kept. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isTemporaryName, removeHalfWritten } from '../../src/files/temporary-node.ts';
import { writeFileAtomic, writeNewFile } from '../../src/files/write-file-node.ts';
import type { NewJob } from '../../src/server/job.ts';
import { openSqliteQueue } from '../../src/server/queue/sqlite-queue.ts';
import { blobId } from '../../src/server/store/blob-store.ts';
import { openFileStore } from '../../src/server/store/file-store.ts';
import { admission, jobRequest, result } from '../../test/server/queue-jobs.ts';
import { keptFiles } from './kept-files.ts';
import { orRefused, type Scenario } from './scenario.ts';

const request = jobRequest();
const jobOf = (id: string): NewJob => ({ id, owner: 'alice', source: 'jobs', priority: 'normal', request });

const journalOf = (folder: string): ReturnType<typeof openSqliteQueue> =>
  openSqliteQueue({ path: join(folder, 'jobs.sqlite'), attempts: 5 });

const journal: Scenario = {
  async work(folder, say) {
    const queue = journalOf(folder);
    for (let i = 0; i < 6; i++) {
      const id = `job-${i}`;
      say((await orRefused(() => queue.add(jobOf(id), admission))) ? 'accepted' : 'refused', id);
    }
    for (const end of ['complete', 'fail', 'cancel'] as const) {
      const [job] = (await orRefused(() => queue.take({ pictures: 1, signal: AbortSignal.timeout(5000) }))) ?? [];
      if (!job) continue;
      const done = await orRefused(async () => {
        if (end === 'complete') return queue.complete(job, result);
        if (end === 'fail') return queue.fail(job, { code: 'engine-failed', message: 'x' }, { retry: false });
        return (await queue.cancel(job.id)) !== undefined;
      });
      if (done) say(end, job.id);
    }
    await queue.close();
    say('closed', '');
  },
  async check(folder, said) {
    const queue = journalOf(folder);
    try {
      const states = { complete: 'done', fail: 'failed', cancel: 'cancelled' } as const;
      for (const id of said.get('accepted') ?? []) assert.ok(await queue.get(id), `${id} was accepted and is lost`);
      for (const id of said.get('refused') ?? []) assert.equal(await queue.get(id), undefined, `${id} was refused`);
      for (const [event, state] of Object.entries(states))
        for (const id of said.get(event) ?? []) assert.equal((await queue.get(id))?.state, state, id);
      const { jobs } = await queue.list({ owner: 'alice', limit: 100 });
      assert.equal(new Set(jobs.map(({ id }) => id)).size, jobs.length, 'no job is there twice');
      assert.equal((await queue.counts()).running, 0, 'what ran waits again');
      await queue.add(jobOf('after'), admission);
      assert.ok(await queue.get('after'), 'new jobs are taken');
    } finally {
      await queue.close();
    }
  },
};

const blobOf = (i: number): Uint8Array => Uint8Array.from({ length: 3000 }, (_, at) => (at * (i + 1)) % 251);

const store: Scenario = {
  async work(folder, say) {
    const blobs = openFileStore(join(folder, 'pictures'));
    for (let i = 0; i < 5; i++) {
      const id = await orRefused(() => blobs.put(blobOf(i), { flush: i % 2 === 0 ? 'now' : 'soon' }));
      if (id !== undefined) say('stored', `${i} ${id}`);
    }
    await blobs.close();
  },
  async check(folder, said) {
    const blobs = openFileStore(join(folder, 'pictures'));
    for (const line of said.get('stored') ?? []) {
      const [number, id = ''] = line.split(' ');
      assert.deepEqual(await blobs.get(id), blobOf(Number(number)), `picture ${number} was stored and is lost`);
    }
    // What is there under a name of its own is whole.
    for (let i = 0; i < 5; i++) {
      const id = blobId(blobOf(i));
      if (await blobs.has(id)) assert.deepEqual(await blobs.get(id), blobOf(i));
      assert.equal(await blobs.put(blobOf(i)), id);
    }
    await blobs.close();
  },
};

const versionOf = (i: number): Uint8Array => new TextEncoder().encode(`version ${i} `.repeat(2000));

const files: Scenario = {
  async work(folder, say) {
    for (let i = 0; i < 4; i++)
      if (await orRefused(() => writeFileAtomic(join(folder, 'state'), [versionOf(i)]))) say('state', String(i));
    for (let i = 0; i < 3; i++)
      if (await orRefused(() => writeNewFile(join(folder, `new-${i}`), [versionOf(i), versionOf(i + 1)])))
        say('new', String(i));
  },
  async check(folder, said) {
    const state = join(folder, 'state');
    const last = Number(said.get('state')?.at(-1) ?? -1);
    const found = existsSync(state) ? readFileSync(state, 'utf8') : undefined;
    // The last that was promised, or a later one that was about to be.
    const versions = [0, 1, 2, 3].filter((i) => i >= last).map((i) => Buffer.from(versionOf(i)).toString());
    assert.ok(found === undefined ? last === -1 : versions.includes(found), `version ${last} was promised`);
    for (let i = 0; i < 3; i++) {
      const path = join(folder, `new-${i}`);
      if (existsSync(path))
        assert.equal(readFileSync(path, 'utf8'), Buffer.concat([versionOf(i), versionOf(i + 1)]).toString());
      else assert.ok(!said.get('new')?.includes(String(i)), `new-${i} was promised`);
    }
    await removeHalfWritten(folder);
    assert.deepEqual(readdirSync(folder).filter(isTemporaryName), [], 'nothing half-written is left');
  },
};

export const scenarios: Readonly<Record<string, Scenario>> = { journal, store, files, ...keptFiles };
