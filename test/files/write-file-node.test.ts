/** The one writer: whole or not at all, and nothing that is there is replaced without leave. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeFolder } from '../../src/files/make-folder-node.ts';
import { thisOwner } from '../../src/files/owner-node.ts';
import { isTemporaryName, temporaryName } from '../../src/files/temporary-node.ts';
import { checkFree, removeHalfWritten, writeFileAtomic, writeNewFile } from '../../src/files/write-file-node.ts';

function folderFor(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sd-write-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const bytes = (text: string): Uint8Array[] => [new TextEncoder().encode(text)];

test('a name that is taken stays as it is', async (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'x.txt');
  writeFileSync(path, 'mine');
  await assert.rejects(writeNewFile(path, bytes('other')), { code: 'file-exists', message: /--force/ });
  await assert.rejects(checkFree(path), { code: 'file-exists' });
  assert.equal(readFileSync(path, 'utf8'), 'mine');
  assert.deepEqual(readdirSync(folder), ['x.txt']);
});

test('a name that is taken while the file is written stays as it is', async (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'x.txt');
  async function* slowly(): AsyncGenerator<Uint8Array, void, void> {
    yield new TextEncoder().encode('a');
    writeFileSync(path, 'mine');
    yield new TextEncoder().encode('b');
  }
  await assert.rejects(writeNewFile(path, slowly()), { code: 'file-exists' });
  assert.equal(readFileSync(path, 'utf8'), 'mine');
  assert.deepEqual(readdirSync(folder), ['x.txt']);
});

test('of many writers of one name, one gets it', async (t) => {
  const path = join(folderFor(t), 'x.txt');
  const results = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => writeNewFile(path, bytes(`${i}`))));
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
});

test('a dangling link is a name that is taken', async (t) => {
  const folder = folderFor(t);
  symlinkSync('/nowhere/at/all', join(folder, 'x.txt'));
  await assert.rejects(writeNewFile(join(folder, 'x.txt'), bytes('a')), { code: 'file-exists' });
});

test('what the caller wrote itself may be replaced, by its identity', async (t) => {
  const path = join(folderFor(t), 'preview.png');
  const first = await writeNewFile(path, bytes('one'));
  const second = await writeNewFile(path, bytes('two'), { replace: first });
  assert.equal(readFileSync(path, 'utf8'), 'two');
  rmSync(path);
  writeFileSync(path, 'of a person');
  await assert.rejects(writeNewFile(path, bytes('three'), { replace: second }), { code: 'file-exists' });
});

test('replacing never replaces a folder or a device', async (t) => {
  const folder = folderFor(t);
  mkdirSync(join(folder, 'x'));
  await assert.rejects(writeFileAtomic(join(folder, 'x'), bytes('a')), {
    code: 'file-access',
    message: /not a regular/,
  });
});

test('where writing fails, what was there stays and nothing is left', async (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'x.txt');
  writeFileSync(path, 'before');
  async function* broken(): AsyncGenerator<Uint8Array, void, void> {
    yield new TextEncoder().encode('half');
    throw new Error('broken');
  }
  await assert.rejects(writeFileAtomic(path, broken()), /broken/);
  assert.equal(readFileSync(path, 'utf8'), 'before');
  assert.deepEqual(readdirSync(folder), ['x.txt']);
});

test('a folder that is not there is named in words of writing', async () =>
  assert.rejects(writeNewFile('/nowhere/x.png', bytes('a')), {
    code: 'file-not-found',
    message: '/nowhere/x.png could not be written: its folder does not exist.',
  }));

test('a folder that cannot be made says why', async () =>
  assert.rejects(makeFolder('/proc/a/b'), { message: /could not be written/ }));

/** The number of a process that has ended. */
const deadProcess = (): number => spawnSync(process.execPath, ['-e', '']).pid;

test('temporary files of dead owners are removed, and nobody else’s', async (t) => {
  const folder = folderFor(t);
  const { host, boot, space, pid, start } = thisOwner();
  const named = (parts: { host?: string; boot?: string; pid?: number; start?: string }): string =>
    `.sd-${parts.host ?? host}-${parts.boot ?? boot}-${space}-${parts.pid ?? pid}-${parts.start ?? start}-00000000.tmp`;
  const dead = named({ pid: deadProcess(), start: '1' });
  const numberUsedAgain = named({ start: '1' });
  const beforeBoot = named({ boot: '00000000' });
  const own = temporaryName();
  const elsewhere = named({ host: '00000000' });
  const abandoned = named({ host: '11111111' });
  const others = ['.my-notes.tmp', '.x.safetensors.99-0.tmp', '.sd-notes.tmp', 'x.tmp'];
  const all = [dead, numberUsedAgain, beforeBoot, own, elsewhere, abandoned, ...others];
  for (const name of all) writeFileSync(join(folder, name), '');
  utimesSync(join(folder, abandoned), 0, 0);
  assert.ok([dead, own, elsewhere].every(isTemporaryName));
  await removeHalfWritten(folder);
  assert.deepEqual(new Set(readdirSync(folder)), new Set([own, elsewhere, ...others]));
});
