/** Data sets laid by links: Hugging Face's cache, folders and files of another place, circles; and links of somebody else to texts. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { imageFolder } from '../../src/training/data/folder-node.ts';
import { createProblems } from '../../src/training/data/problems.ts';
import type { EncodedSample } from '../../src/training/data/sample.ts';

const root = mkdtempSync(join(tmpdir(), 'sd-links-'));
after(() => rmSync(root, { recursive: true, force: true }));
const png = await nodeImageCodec.encode(createImage(2, 2, 3), { format: 'png' });

function put(path: string, bytes: Uint8Array | string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), bytes);
}
function link(path: string, target: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  symlinkSync(target, join(root, path));
}

async function read(folder: string) {
  const problems = createProblems();
  const source = await imageFolder(join(root, folder), { problems });
  const samples: [string, readonly string[]][] = [];
  for (let i = 0; i < source.count; i++) {
    const { name, captions, image } = (await source.read(i)) as EncodedSample;
    assert.deepEqual(Buffer.from(image), Buffer.from(png));
    samples.push([name, captions]);
  }
  return { samples, problems: problems.summary() };
}

test("Hugging Face's cache, where every file is a link to a blob: captions in .txt, and in metadata.jsonl", async () => {
  for (const [name, bytes] of [
    ['a1', png],
    ['b2', 'a cat'],
    ['c3', '{"file_name":"x.png","text":"a dog"}\n'],
  ] as const)
    put(`datasets--me--cats/blobs/${name}`, bytes);
  const snapshot = 'datasets--me--cats/snapshots/0123';
  link(`${snapshot}/train/x.png`, '../../../blobs/a1');
  link(`${snapshot}/train/x.txt`, '../../../blobs/b2');
  assert.deepEqual(await read(snapshot), { samples: [['train/x.png', ['a cat']]], problems: '' });
  link('datasets--me--cats/snapshots/4567/x.png', '../../blobs/a1');
  link('datasets--me--cats/snapshots/4567/metadata.jsonl', '../../blobs/c3');
  assert.deepEqual((await read('datasets--me--cats/snapshots/4567')).samples, [['x.png', ['a dog']]]);
});

test('folders and pictures of another place, with the texts that lie with them', async () => {
  put('photos/1.png', png);
  put('photos/1.txt', 'one');
  put('photos/deep/2.PNG', png);
  put('tables/3.png', png);
  put('tables/metadata.jsonl', '{"file_name":"3.png","text":"three"}\n');
  link('set/all', '../photos');
  link('set/uno.png', join(root, 'photos/1.png'));
  link('set/uno.txt', join(root, 'photos/1.txt'));
  link('set/same.png', 'all/1.png');
  link('set/same.caption', 'uno.txt');
  assert.deepEqual(await read('set'), {
    samples: [
      ['all/1.png', ['one']],
      ['all/deep/2.PNG', []],
      ['same.png', ['one']],
      ['uno.png', ['one']],
    ],
    problems: '',
  });
  link('of-table', 'tables');
  link('table-inside/t', '../tables');
  assert.deepEqual((await read('of-table')).samples, [['3.png', ['three']]]);
  assert.deepEqual((await read('table-inside')).samples, [['t/3.png', ['three']]]);
});

test('tables of Windows: its separator, capitals in the name; rarer endings of pictures, and formats that are not read', async () => {
  put('windows/sub/x.png', png);
  put('windows/Metadata.JSONL', '\ufeff{"file_name":"sub\\\\x.png","text":"t"}\r\n');
  assert.deepEqual((await read('windows')).samples, [['sub/x.png', ['t']]]);
  put('leading/x.png', png);
  put('leading/metadata.jsonl', '{"file_name":"..\\\\x.png","text":"t"}');
  await assert.rejects(read('leading'), { code: 'file-unsafe' });
  for (const name of ['a.apng', 'b.PJPEG', 'c.jif']) put(`rare/${name}`, png);
  for (const name of ['d.qoi', 'e.pgm', 'f.CR3', 'notes.md']) put(`rare/${name}`, 'x');
  const { samples, problems } = await read('rare');
  assert.deepEqual(
    samples.map(([name]) => name),
    ['a.apng', 'b.PJPEG', 'c.jif'],
  );
  assert.equal(problems, 'unsupported-file: 3 (d.qoi, e.pgm, f.CR3)');
});

test('circles end; a folder that two links lead to is read once; links to nothing are named', async () => {
  put('circle/a/x.png', png);
  put('beside/y.png', png);
  link('circle/a/up', '..');
  link('circle/a/self', '.');
  link('circle/whole', '/');
  link('circle/one', '../beside');
  link('circle/two', '../beside');
  link('circle/gone.png', 'nowhere.png');
  const { samples, problems } = await read('circle');
  assert.deepEqual(
    samples.map(([name]) => name),
    ['a/x.png', 'one/y.png'],
  );
  assert.equal(problems, 'unsafe-name: 5 (a/self, a/up, gone.png, two, whole)');
});

test("somebody else's links to texts, and to what is no picture, are not read", async () => {
  put('home/secret.txt', 'secret');
  put('home/key', 'secret');
  put('home/pic.png', png);
  put('home/rows.jsonl', '{"file_name":"a.png","text":"secret"}');
  put('strange/a.png', png);
  link('strange/a.txt', '../home/secret.txt');
  link('strange/b.png', '../home/pic.png');
  link('strange/b.txt', '../home/secret.txt');
  link('strange/b.json', '../home/key');
  link('strange/c.png', '../home/key');
  link('strange/metadata.jsonl', '../home/rows.jsonl');
  const { samples, problems } = await read('strange');
  assert.deepEqual(samples, [
    ['a.png', []],
    ['b.png', []],
  ]);
  assert.equal(problems, 'unsafe-name: 5 (a.txt, b.json, b.txt, c.png, metadata.jsonl)');
});
