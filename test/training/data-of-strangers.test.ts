/** Data sets as people and programs leave them: hidden folders, other encodings and formats, compound names, links, pipes, broken Parquet. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { gzipSync } from 'node:zlib';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { openFile } from '../../src/files/byte-source-node.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { prepareItem } from '../../src/training/data/batches.ts';
import { imageFolder } from '../../src/training/data/folder-node.ts';
import { parquetDataset } from '../../src/training/data/parquet-node.ts';
import { createProblems, type Problems } from '../../src/training/data/problems.ts';
import type { IndexedSource, Sample, ShardedSource } from '../../src/training/data/sample.ts';
import { rejection } from '../../src/training/data/sample-filter.ts';
import { captionCharacters, parseObject } from '../../src/training/data/sample-text.ts';
import { webDataset } from '../../src/training/data/webdataset.ts';
import { reference } from '../reference.ts';
import { tarOf } from './tar-of.ts';

const root = mkdtempSync(join(tmpdir(), 'strangers-'));
after(() => rmSync(root, { recursive: true }));
const png = await nodeImageCodec.encode(createImage(4, 4, 3), { format: 'png' });

/** A folder of these files; texts as UTF-8. */
function folderOf(name: string, files: Readonly<Record<string, string | Uint8Array>>): string {
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name, file)), { recursive: true });
    writeFileSync(join(root, name, file), content);
  }
  return join(root, name);
}

async function samplesOf(source: IndexedSource | ShardedSource): Promise<Sample[]> {
  const all: Sample[] = [];
  if ('read' in source)
    for (let i = 0; i < source.count; i++) {
      const sample = await source.read(i);
      if (sample) all.push(sample);
    }
  else for (const shard of source.shards.keys()) for await (const { sample } of source.open(shard)) all.push(sample);
  await source.close();
  return all;
}

const captionsOf = (samples: readonly Sample[]): unknown => samples.map(({ name, captions }) => [name, ...captions]);

const shardOf = (
  files: Parameters<typeof tarOf>[0],
  problems: Problems,
  fields: { readonly imageField?: string; readonly captionField?: string } = {},
) => webDataset({ shards: ['s.tar'], open: async () => memoryBytes(tarOf(files), 's.tar'), problems, ...fields });

test("a folder: kohya's folders with repeats are reported, and each of their pictures counts once", async () => {
  const problems = createProblems();
  const folder = folderOf('repeats', { '10_dog/a.png': png, '1_cat/b.png': png, '00000/c.png': png });
  const samples = await samplesOf(await imageFolder(folder, { problems }));
  assert.deepEqual(
    samples.map(({ name }) => name),
    ['00000/c.png', '10_dog/a.png', '1_cat/b.png'],
  );
  assert.equal(problems.summary(), 'ignored-repeats: 1 (10_dog)');
});

test('a folder: hidden files and folders are left out, JPEG under other names is read, other formats and tables are reported', async () => {
  const folder = folderOf('formats', {
    'a.png': png,
    'b.jpe': png,
    'c.bmp': 'BM',
    'metadata.csv': 'file_name,text',
    '.ipynb_checkpoints/a-checkpoint.png': png,
    '__MACOSX/._a.png': png,
    '@eaDir/a.png': png,
    '#recycle/a.png': png,
    '$RECYCLE.BIN/a.png': png,
    '._a.png': png,
  });
  const problems = createProblems();
  assert.deepEqual(captionsOf(await samplesOf(await imageFolder(folder, { problems }))), [['a.png'], ['b.jpe']]);
  assert.equal(problems.summary(), 'unsupported-file: 2 (c.bmp, metadata.csv)');
  await assert.rejects(imageFolder(folderOf('only-bmp', { 'c.bmp': 'BM' }), { problems: createProblems() }), {
    code: 'invalid-argument',
    message: /Passed over: c\.bmp/,
  });
});

test('captions: UTF-16 by its byte order mark, .caption, upper case; other encodings are reported, never guessed', async () => {
  const utf16 = Uint8Array.from(Buffer.concat([new Uint8Array([0xff, 0xfe]), Buffer.from('rot, éins', 'utf16le')]));
  const folder = folderOf('captions', {
    'a.png': png,
    'a.txt': utf16,
    'b.png': png,
    'b.TXT': 'upper',
    'c.png': png,
    'c.caption': 'kohya',
    'd.png': png,
    'd.txt': new Uint8Array([0x63, 0x61, 0x66, 0xe9]),
    'e.png': png,
    // UTF-32 begins as UTF-16 does.
    'e.txt': new Uint8Array([0xff, 0xfe, 0, 0, 0x72, 0, 0, 0]),
  });
  const problems = createProblems();
  assert.deepEqual(captionsOf(await samplesOf(await imageFolder(folder, { problems }))), [
    ['a.png', 'rot, éins'],
    ['b.png', 'upper'],
    ['c.png', 'kohya'],
    ['d.png'],
    ['e.png'],
  ]);
  assert.equal(problems.summary(), 'corrupt-caption: 2 (d.txt, e.txt)');
});

test('a caption that is a link or a pipe is not read; one of megabytes is cut, with its name', async () => {
  const folder = folderOf('links', { 'a.png': png, 'b.png': png, 'c.png': png, 'c.txt': 'x'.repeat(3e6) });
  folderOf('elsewhere', { 'secret.txt': 'secret' });
  symlinkSync('../elsewhere/secret.txt', join(folder, 'a.txt'));
  spawnSync('mkfifo', [join(folder, 'b.txt')]);
  const problems = createProblems();
  const samples = await samplesOf(await imageFolder(folder, { problems }));
  assert.deepEqual(
    samples.map(({ captions }) => captions.map(({ length }) => length)),
    [[], [], [2 ** 20]],
  );
  const item = await prepareItem(samples[2] as Sample, 0, { codec: nodeImageCodec, problems, picture: { size: 4 } });
  assert.equal(item?.caption.length, captionCharacters);
  assert.equal(problems.summary(), 'unsafe-name: 1 (a.txt)\nlong-caption: 1 (c.png)');
  await assert.rejects(openFile(join(folder, 'b.txt')), { code: 'file-access' });
});

test('a table of which no row is left is named', async () => {
  const row = `{"file_name":"a.png","text":"x","m":${'['.repeat(500)}${']'.repeat(500)}}`;
  const folder = folderOf('no-row', { 'a.png': png, 'metadata.jsonl': row });
  await assert.rejects(imageFolder(folder, { problems: createProblems() }), {
    code: 'invalid-argument',
    message: /The metadata\.jsonl of .* has no row that can be used/,
  });
});

test('metadata as Python and Windows write it: byte order mark, NaN, Infinity; a row nested too deeply is left out alone', async () => {
  const deep = `{"file_name":"b.png","x":${'['.repeat(5e4)}${']'.repeat(5e4)}}`;
  const table = `\ufeff{"file_name":"a.png","text":"one NaN","score":NaN,"low":-Infinity}\n${deep}\n`;
  const folder = folderOf('table', { 'a.png': png, 'b.png': png, 'metadata.jsonl': table });
  const problems = createProblems();
  const [only, ...rest] = await samplesOf(await imageFolder(folder, { problems }));
  assert.deepEqual([only?.captions, only?.metadata, rest], [['one NaN'], { score: null, low: null }, []]);
  assert.equal(problems.summary(), 'corrupt-metadata: 1 (line 2 of metadata.jsonl)');
  assert.equal(parseObject('[1]'), 'is not a JSON object');
  assert.equal(parseObject('{'), 'is not JSON');
});

test('WebDataset: a field is all that follows the first dot, whatever its place; others are named by image_key and caption_key', async () => {
  const files = [
    ['000.seg.png', 'not the picture'],
    ['000.blip.txt', 'machine'],
    ['000.jpg', png],
    ['000.txt', 'person'],
    ['000.json', '{"similarity":NaN}'],
  ] as const;
  const [sample] = await samplesOf(shardOf(files, createProblems()));
  assert.deepEqual([sample?.captions, sample && 'image' in sample && sample.image], [['person'], png]);
  const problems = createProblems();
  const [other] = await samplesOf(shardOf(files, problems, { imageField: 'seg.png', captionField: 'blip.txt' }));
  assert.deepEqual(other?.captions, ['machine']);
  assert.ok(other && 'image' in other && Buffer.from(other.image).toString() === 'not the picture');
  // Two pictures of compound names: neither is guessed.
  const unclear = [...files.slice(0, 2), ['000.depth.png', png]] as const;
  assert.deepEqual(await samplesOf(shardOf(unclear, problems)), []);
  assert.equal((await samplesOf(shardOf([['a.b.png', png]], problems))).length, 1);
  assert.equal(problems.summary(), 'missing-image: 1 (s.tar:000)');
});

test('WebDataset: fields that nobody wants are not kept in memory', async () => {
  const others = Array.from({ length: 20 }, (_, i) => [`000.x${i}`, new Uint8Array(2 ** 20)] as const);
  const source = shardOf([['000.jpg', png], ...others], createProblems());
  const [sample] = await samplesOf(source);
  assert.ok(sample && 'image' in sample && sample.image.length === png.length);
});

test('WebDataset: gzip that unpacks to far more than its size is reported; the samples before stay', async () => {
  const problems = createProblems();
  const zeros = new Uint8Array(2 ** 27);
  const tar = gzipSync(
    tarOf([
      ['000.jpg', png],
      ['000.npy', zeros],
      ['001.jpg', png],
    ]),
  );
  const source = webDataset({ shards: ['s.tar.gz'], open: async () => memoryBytes(tar, 's.tar.gz'), problems });
  await samplesOf(source);
  assert.match(problems.summary(), /corrupt-shard: 1/);
});

test('Parquet: an LZ4 column of nulls only; a page that lies about its values is refused before it is decoded', async () => {
  const open = async (name: string) => [await openFile(reference(`files/strangers/${name}`))];
  const problems = createProblems();
  const lz4 = await parquetDataset(await open('lz4-empty-column.parquet'), { problems });
  assert.deepEqual(
    (await samplesOf(lz4)).map(({ captions }) => captions),
    [['red']],
  );
  const wrong = await samplesOf(await parquetDataset(await open('wrong-value-count.parquet'), { problems }));
  assert.equal(wrong.length, 10); // of the other row group
  assert.match(problems.summary(), /corrupt-shard: 1/);
});

test('Parquet: a page on which the decoder never ends is ended; the work stops, and Ctrl-C is heard meanwhile', async () => {
  const open = async (milliseconds: number) =>
    parquetDataset([await openFile(reference('files/strangers/run-without-end.parquet'))], {
      problems: createProblems(),
      limits: { milliseconds },
    });
  await assert.rejects(samplesOf(await open(300)), {
    code: 'too-large',
    message: /run-without-end\.parquet takes far longer/,
  });
  const source = await open(1e9);
  const controller = new AbortController();
  const reading = (async () => {
    for await (const _ of source.open(0, undefined, controller.signal)) assert.fail('it has no samples');
  })();
  setImmediate(() => controller.abort());
  await assert.rejects(reading, { code: 'aborted' });
  await source.close();
});

test('Parquet: files of a refused data set are closed', async () => {
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  for (let i = 0; i < 5; i++)
    await assert.rejects(
      parquetDataset([await openFile(reference('files/datasets/data-truncated.parquet'))], {
        problems: createProblems(),
      }),
    );
  assert.equal(descriptors(), before);
});

test('filters keep what the model card of Stable Diffusion v1 keeps: aesthetics above 5.0, watermark below 0.5', () => {
  const filter = { minimumAesthetics: 5, maximumWatermark: 0.5 };
  assert.equal(rejection(filter, { aesthetic: 5.001, pwatermark: 0.499 }), undefined);
  assert.match(rejection(filter, { aesthetic: 5, pwatermark: 0.1 }) ?? '', /aesthetics is 5/);
  assert.match(rejection(filter, { aesthetic: 6, pwatermark: 0.5 }) ?? '', /watermark is 0.5/);
});

test("shards: a caption in the json is found under every name that a folder's or a table's row may have", async () => {
  for (const field of ['caption', 'prompt', 'text', 'TEXT']) {
    const shard = tarOf([
      ['a.png', Uint8Array.of(1)],
      ['a.json', Buffer.from(JSON.stringify({ [field]: 'a cat', width: 3 }))],
    ]);
    const source = webDataset({
      shards: ['s.tar'],
      open: async () => memoryBytes(shard, 's.tar'),
      problems: createProblems(),
    });
    const captions: (readonly string[])[] = [];
    for await (const { sample } of source.open(0, 0)) captions.push(sample.captions);
    assert.deepEqual(captions, [['a cat']], field);
  }
});
