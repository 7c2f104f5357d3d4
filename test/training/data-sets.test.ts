/** Readers of data sets: fallbacks, resuming, cut and changed files, links. The recorded rows are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { imageFolder } from '../../src/training/data/folder-node.ts';
import { parquetDataset } from '../../src/training/data/parquet-node.ts';
import { createProblems, type Problem } from '../../src/training/data/problems.ts';
import type { EncodedSample, ShardedSource } from '../../src/training/data/sample.ts';
import { expandBraces, shardNames } from '../../src/training/data/shard-names-node.ts';
import { readTar } from '../../src/training/data/tar.ts';
import { tarSamples, webDataset } from '../../src/training/data/webdataset.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { openFile } from '../../src/files/byte-source-node.ts';
import { assertWithin } from '../parity.ts';
import { reference } from '../reference.ts';

const folder = reference('files/datasets');
const part = 'files/datasets';

interface ExpectedImage {
  readonly size?: readonly [number, number];
  readonly mean_rgb?: readonly number[];
  readonly error?: string;
}
interface ExpectedSample {
  readonly key: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly image?: ExpectedImage;
  readonly txt?: string;
  readonly json_caption?: string;
  readonly json_error?: string;
}
interface ExpectedRow {
  readonly text: string | null;
  readonly file: string;
  readonly sha256: string;
  readonly image: ExpectedImage;
  readonly [field: string]: unknown;
}
const expected: {
  readonly webdataset: Readonly<
    Record<string, { readonly samples: readonly ExpectedSample[]; readonly error: string | null }>
  >;
  readonly hf: {
    readonly imagefolder: { readonly rows: readonly ExpectedRow[] };
    readonly parquet: Readonly<
      Record<string, { readonly row_groups: number; readonly rows?: readonly ExpectedRow[]; readonly error?: string }>
    >;
  };
} = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'));

async function gather<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

function collect(): { problems: ReturnType<typeof createProblems>; found: Problem[] } {
  const found: Problem[] = [];
  return { problems: createProblems((problem) => found.push(problem)), found };
}

test('WebDataset: captions fall back to the json, broken json and missing pictures are reported by name', async () => {
  const { problems, found } = collect();
  const source = webDataset({
    shards: [join(folder, '00000.tar'), join(folder, '00001.tar'), join(folder, 'none.tar')],
    open: openFile,
    problems,
  });
  const samples = (await readAll(source)) as EncodedSample[];
  assert.deepEqual(samples.find(({ name }) => name === '00000.tar:000000001')?.captions, [
    'a yellow square on a green background',
  ]);
  assert.equal(samples.find(({ name }) => name === '00000.tar:000000000')?.metadata['AESTHETIC_SCORE'], 5.459);
  assert.deepEqual(samples.find(({ name }) => name === '00001.tar:a')?.captions.length, 1);
  assert.deepEqual(
    new Set(found.map(({ kind, name }) => `${kind} ${basename(name)}`)),
    new Set([
      'corrupt-metadata 00001.tar:000010002',
      'missing-image 00001.tar:__skip__',
      `missing-image 00001.tar:${'long'.repeat(40)}`,
      'unsafe-name 00001.tar:link.jpg',
      'missing-image sd-ts-unsafe-marker',
      'corrupt-shard none.tar',
    ]),
  );
});

test('WebDataset: reading begins again at any sample, of gzip too', async () => {
  const { problems } = collect();
  for (const shard of ['00000.tar', '00001.tar', '00005.tar.gz']) {
    const source = await openFile(join(folder, shard));
    const all = await gather(tarSamples(source, problems));
    for (const [i, { position }] of all.entries()) {
      const rest = await gather(tarSamples(source, problems, position));
      assert.deepEqual(rest, all.slice(i));
    }
    await source.close();
  }
});

test('WebDataset: an archive cut at any byte gives whole samples, then a warning or a clean end', async () => {
  const bytes = readFileSync(join(folder, '00000.tar'));
  const { problems } = collect();
  const all = await gather(tarSamples(memoryBytes(bytes), problems));
  for (let length = 0; length < bytes.length; length += 97) {
    const { problems: noted, found } = collect();
    const got = await gather(tarSamples(memoryBytes(bytes.subarray(0, length), 'cut.tar'), noted));
    for (const [i, { key, fields }] of got.entries()) {
      assert.equal(key, all[i]?.key);
      for (const [name, data] of fields) assert.deepEqual(data, all[i]?.fields.get(name));
    }
    if (length % 512 !== 0 && length < 20000) assert.ok(found.length === 1 || got.at(-1)?.fields.size !== undefined);
    assert.ok(found.every(({ kind }) => kind === 'truncated-shard'));
  }
});

test('tar: any byte changed gives an error of ours or other samples, never anything else', async () => {
  const bytes = readFileSync(join(folder, '00001.tar'));
  for (let at = 0; at < bytes.length; at += 131) {
    const changed = Uint8Array.from(bytes);
    changed[at] = (changed[at] as number) ^ 0xff;
    const { problems } = collect();
    await gather(tarSamples(memoryBytes(changed, 'changed.tar'), problems));
  }
});

test('tar: not an archive', async () => {
  async function* noise() {
    yield Uint8Array.from({ length: 1024 }, (_, i) => (i * 37) % 251);
  }
  await assert.rejects(gather(readTar(noise(), { label: 'noise' })), { code: 'file-corrupt' });
});

async function readAll(source: ShardedSource) {
  const samples = [];
  for (const shard of source.shards.keys()) for await (const { sample } of source.open(shard)) samples.push(sample);
  return samples;
}

test('Hugging Face imagefolder: a path that leads out and a missing file stop with their line', async () => {
  const { problems } = collect();
  await assert.rejects(imageFolder(join(folder, 'imagefolder-bad'), { problems }), {
    code: 'file-unsafe',
    message: /line \d of train\/metadata\.jsonl.*\.\.\/\.\./,
  });
  await assert.rejects(imageFolder(join(folder, 'imagefolder-missing'), { problems }), {
    code: 'file-not-found',
    message: /missing\.png/,
  });
  for (const name of ['imagefolder-bad', 'imagefolder-missing'])
    assertWithin({ part, case: name, output: 'error', reference: 'datasets 5.2.0', error: 0, tolerance: 0 });
});

test('Hugging Face parquet: without the image column, and cut anywhere', async () => {
  const { problems } = collect();
  const bytes = readFileSync(join(folder, 'data-snappy.parquet'));
  await assert.rejects(parquetDataset([memoryBytes(bytes)], { problems, imageField: 'picture' }), {
    code: 'file-corrupt',
    message: /image, text, width, tags/,
  });
  for (let length = 0; length < bytes.length; length += 501)
    await assert.rejects(parquetDataset([memoryBytes(bytes.subarray(0, length))], { problems }), {
      code: 'file-corrupt',
    });
});

test('folder with captions beside the pictures: names in order, .txt or none, links not followed', async () => {
  const root = mkdtempSync(join(tmpdir(), 'folder-'));
  try {
    const png = await nodeImageCodec.encode(createImage(2, 2, 3), { format: 'png' });
    mkdirSync(join(root, 'b'));
    for (const name of ['c.png', 'a.PNG', 'b/d.png']) writeFileSync(join(root, name), png);
    writeFileSync(join(root, 'c.txt'), 'a caption\n');
    writeFileSync(join(root, 'notes.md'), 'no picture');
    symlinkSync('/etc/hostname', join(root, 'link.png'));
    const { problems, found } = collect();
    const source = await imageFolder(root, { problems });
    const samples = (await Promise.all(
      Array.from({ length: source.count }, (_, i) => source.read(i)),
    )) as EncodedSample[];
    assert.deepEqual(
      samples.map(({ name, captions }) => [name, captions]),
      [
        ['a.PNG', []],
        ['b/d.png', []],
        ['c.png', ['a caption']],
      ],
    );
    assert.deepEqual(
      found.map(({ kind, name }) => [kind, name]),
      [['unsafe-name', 'link.png']],
    );
    rmSync(join(root, 'c.png'));
    assert.equal(await source.read(2), undefined);
    assert.equal(found.at(-1)?.kind, 'missing-image');
    writeFileSync(join(root, 'metadata.jsonl'), '{"file_name": "a.PNG", "captions": ["one", "two"]}\nnot json\n');
    await assert.rejects(imageFolder(root, { problems }), { code: 'file-corrupt', message: /line 2/ });
    writeFileSync(join(root, 'metadata.jsonl'), '{"file_name": "link.png", "text": "x"}\n');
    await assert.rejects(imageFolder(root, { problems }), { code: 'file-unsafe' });
    writeFileSync(join(root, 'metadata.jsonl'), '{"file_name": "a.PNG", "captions": ["one", "two"]}\n');
    const table = await imageFolder(root, { problems });
    assert.deepEqual((await table.read(0))?.captions, ['one', 'two']);
    await assert.rejects(imageFolder(join(root, 'none'), { problems }), { code: 'file-not-found' });
    mkdirSync(join(root, 'empty'));
    await assert.rejects(imageFolder(join(root, 'empty'), { problems }), { code: 'invalid-argument' });
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('shards by pattern', async () => {
  assert.deepEqual(expandBraces('d/{008..011}-{a,b}.tar').slice(0, 3), ['d/008-a.tar', 'd/008-b.tar', 'd/009-a.tar']);
  assert.deepEqual(
    (await shardNames(folder)).map((path) => basename(path)),
    Object.keys(expected.webdataset),
  );
  assert.equal((await shardNames(join(folder, '{00000..00001}.tar'))).length, 2);
  await assert.rejects(shardNames(join(folder, '{00000..00009}.tar')), { code: 'file-not-found' });
});
