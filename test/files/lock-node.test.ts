/** A lock between processes, containers and hosts. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { takeLock } from '../../src/files/lock-node.ts';
import { thisOwner } from '../../src/files/owner-node.ts';

const quick = { what: 'the folder', beat: 5, patience: 50 };

function lockFor(context: TestContext): { path: string; folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'sd-lock-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, path: join(folder, '.lock') };
}

test('a second taker is told who holds it, and gets it after the release', async (t) => {
  const { path, folder } = lockFor(t);
  const lock = await takeLock(path, quick);
  await assert.rejects(takeLock(path, quick), {
    code: 'busy',
    message: new RegExp(`the folder is in use by process ${process.pid} on `),
  });
  await lock.release();
  assert.deepEqual(readdirSync(folder), []);
  await (await takeLock(path, quick)).release();
});

test('of many takers at once, one gets it', async (t) => {
  const { path } = lockFor(t);
  const results = await Promise.allSettled(Array.from({ length: 10 }, () => takeLock(path, quick)));
  const held = results.filter((result) => result.status === 'fulfilled');
  assert.equal(held.length, 1);
  await held[0]?.value.release();
});

test('a holder of this machine that has ended loses it at once', async (t) => {
  const { path } = lockFor(t);
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  writeFileSync(path, JSON.stringify({ ...thisOwner(), pid, start: '1', id: 'a' }));
  await (await takeLock(path, { ...quick, beat: 1000 })).release();
});

test('a holder of another machine keeps it while it renews it, and loses it when it does not', async (t) => {
  const { path } = lockFor(t);
  const note = JSON.stringify({ ...thisOwner(), host: '00000000', id: 'a', hostname: 'other' });
  writeFileSync(path, note);
  let time = 1;
  const beat = setInterval(() => utimesSync(path, time, time++), 2);
  await assert.rejects(takeLock(path, quick), { code: 'busy', message: /on other/ });
  clearInterval(beat);
  assert.equal(readFileSync(path, 'utf8'), note);
  await (await takeLock(path, quick)).release();
});

test('a note that is a link to nothing is refused by its path', async (t) => {
  const { path } = lockFor(t);
  symlinkSync('nothing', path);
  await assert.rejects(takeLock(path, quick), { code: 'file-access', message: /\.lock is neither there nor free/ });
});

test('a damaged note is nobody’s once it is not renewed', async (t) => {
  const { path } = lockFor(t);
  writeFileSync(path, '{half');
  await (await takeLock(path, quick)).release();
});

test('a holder learns that its lock was taken away', async (t) => {
  const { path } = lockFor(t);
  const lock = await takeLock(path, quick);
  const lost = new Promise((resolve) => lock.lost.addEventListener('abort', resolve));
  const alive = setInterval(() => {}, 1000);
  rmSync(path);
  writeFileSync(path, JSON.stringify({ ...thisOwner(), id: 'another' }));
  await lost;
  clearInterval(alive);
  await lock.release();
  assert.match(readFileSync(path, 'utf8'), /another/);
});
