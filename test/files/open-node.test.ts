/** The one opener: regular files only, links by rule, sizes by kind, identity kept. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openFile } from '../../src/files/byte-source-node.ts';
import { checkUnchanged, openRegular, readFileOf, readTextIfThere, readTextOf } from '../../src/files/open-node.ts';

function folderFor(context: TestContext): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sd-open-')));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('a pipe is refused at once, though opening it would block', async (t) => {
  const pipe = join(folderFor(t), 'pipe');
  execFileSync('mkfifo', [pipe]);
  await assert.rejects(openRegular(pipe), { code: 'file-access', message: /is a named pipe/ });
  await assert.rejects(readFileOf('caption', pipe), { code: 'file-access' });
});

test('devices and folders are refused by what they are', async (t) => {
  await assert.rejects(openRegular('/dev/zero'), { code: 'file-access', message: /is a device/ });
  await assert.rejects(openRegular(folderFor(t)), { code: 'file-access', message: /is a folder/ });
  await assert.rejects(openRegular('/nowhere/x'), { code: 'file-not-found' });
});

test('a link is followed to the real path, which is what is handed on', async (t) => {
  const folder = folderFor(t);
  mkdirSync(join(folder, 'blobs'));
  mkdirSync(join(folder, 'snapshot'));
  writeFileSync(join(folder, 'blobs/abc'), 'weights');
  symlinkSync('../blobs/abc', join(folder, 'snapshot/x.safetensors'));
  const source = await openFile(join(folder, 'snapshot/x.safetensors'));
  assert.equal(source.path, join(folder, 'blobs/abc'));
  assert.match(source.label, /snapshot\/x\.safetensors$/);
  await source.close();
});

test('within a folder, a link may not leave it', async (t) => {
  const folder = folderFor(t);
  mkdirSync(join(folder, 'model'));
  writeFileSync(join(folder, 'secret'), 'secret');
  writeFileSync(join(folder, 'model/own'), 'own');
  symlinkSync('../secret', join(folder, 'model/out'));
  symlinkSync('own', join(folder, 'model/in'));
  const within = join(folder, 'model');
  assert.equal(await readTextOf('caption', join(within, 'in'), { within }), 'own');
  await assert.rejects(readTextOf('caption', join(within, 'out'), { within }), { code: 'file-unsafe' });
  await assert.rejects(readTextOf('caption', join(within, '../secret'), { within }), { code: 'file-unsafe' });
});

test("a snapshot of Hugging Face's cache may link to its blobs, and to nothing else", async (t) => {
  const repository = join(folderFor(t), 'models--org--name');
  const snapshot = join(repository, 'snapshots/0123');
  mkdirSync(join(snapshot, 'tokenizer'), { recursive: true });
  mkdirSync(join(repository, 'blobs'));
  writeFileSync(join(repository, 'blobs/abc'), 'blob');
  writeFileSync(join(repository, 'secret'), 'secret');
  symlinkSync('../../../blobs/abc', join(snapshot, 'tokenizer/merges.txt'));
  symlinkSync('../../../secret', join(snapshot, 'tokenizer/other.txt'));
  const [part, inPart] = [join(snapshot, 'tokenizer'), (name: string) => join(snapshot, 'tokenizer', name)];
  assert.equal(await readTextOf('tokenizer', inPart('merges.txt'), { within: part }), 'blob');
  await assert.rejects(readTextOf('tokenizer', inPart('other.txt'), { within: part }), { code: 'file-unsafe' });
  assert.equal(await readTextOf('tokenizer', join(snapshot, 'tokenizer/merges.txt'), { within: snapshot }), 'blob');
  await assert.rejects(readTextOf('tokenizer', join(snapshot, 'tokenizer/other.txt'), { within: snapshot }), {
    code: 'file-unsafe',
  });
});

test('a file above the limit of its kind is refused before it is read', async (t) => {
  const path = join(folderFor(t), 'caption.txt');
  writeFileSync(path, 'a'.repeat(2 ** 16 + 1));
  await assert.rejects(readFileOf('caption', path), { code: 'too-large', message: /65537 bytes.*caption.*65536/ });
  assert.equal((await readFileOf('configuration', path)).length, 2 ** 16 + 1);
});

test('text is read without a byte order mark; what is not there may be undefined', async (t) => {
  const path = join(folderFor(t), 'a.txt');
  writeFileSync(path, '\ufeffred apple');
  assert.equal(await readTextOf('caption', path), 'red apple');
  assert.equal(await readTextIfThere('caption', `${path}.not`), undefined);
});

test('a file that is written to after it was opened is not read on', async (t) => {
  const path = join(folderFor(t), 'x.bin');
  writeFileSync(path, 'before');
  const source = await openFile(path);
  assert.equal((await source.read(0, 6)).length, 6);
  writeFileSync(path, 'after, and longer');
  await assert.rejects(source.read(0, 6), { code: 'file-access', message: /changed or replaced/ });
  await source.close();
});

test('a file that was replaced is found by its identity', async (t) => {
  const path = join(folderFor(t), 'x.bin');
  writeFileSync(path, 'before');
  const source = await openFile(path);
  assert.ok(source.path && source.identity);
  await checkUnchanged(source.path, source.identity);
  writeFileSync(`${path}.new`, 'beyond');
  renameSync(`${path}.new`, path);
  await assert.rejects(checkUnchanged(source.path, source.identity), { code: 'file-access' });
  await source.close();
});
