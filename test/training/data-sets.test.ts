/** Readers of data sets against files/datasets (webdataset 1.0.2, datasets 5.2.0, pyarrow 26), and their bad files. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { StableDiffusionError } from '../../src/errors.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage, type Image } from '../../src/image/image.ts';
import { imageFolder } from '../../src/training/data/folder-node.ts';
import { parquetDataset } from '../../src/training/data/parquet.ts';
import { createProblems, type Problem } from '../../src/training/data/problems.ts';
import type { EncodedSample, ShardedSource } from '../../src/training/data/sample.ts';
import { expandBraces, shardNames } from '../../src/training/data/shard-names-node.ts';
import { readTar } from '../../src/training/data/tar.ts';
import { tarSamples, webDataset } from '../../src/training/data/webdataset.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { openFile } from '../../src/files/byte-source-node.ts';
import { recordParity } from '../parity.ts';
import { reference } from '../reference.ts';

const folder = reference('files/datasets');
const part = 'files/datasets';
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

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

/** Largest difference of the mean colour; decoders of JPEG and WebP may differ by 1.0. */
function colourError(image: Image, want: ExpectedImage): number {
  assert.deepEqual([image.width, image.height], want.size);
  const sums = [0, 0, 0];
  for (let i = 0; i < image.data.length; i++)
    sums[i % image.channels] = (sums[i % image.channels] as number) + (image.data[i] as number);
  return Math.max(
    ...sums.slice(0, 3).map((sum, c) => Math.abs(sum / (image.width * image.height) - (want.mean_rgb?.[c] as number))),
  );
}

async function checkImage(
  row: { case: string; output: string },
  bytes: Uint8Array,
  want: ExpectedImage,
): Promise<void> {
  const image = await nodeImageCodec.decode(bytes).catch((cause: unknown) => {
    assert.ok(cause instanceof StableDiffusionError);
    return undefined;
  });
  assert.equal(image === undefined, want.error !== undefined, `${row.output} decodes`);
  recordParity({ part, ...row, reference: 'Pillow 13', error: image ? colourError(image, want) : 0, tolerance: 1 });
}

for (const [shard, want] of Object.entries(expected.webdataset)) {
  test(`WebDataset ${shard}: samples in order, every byte of every field`, async () => {
    const { problems, found } = collect();
    const source = await openFile(join(folder, shard));
    const got = await gather(tarSamples(source, problems));
    const truncated = shard.includes('truncated');
    // webdataset gives the sample in which the archive was cut; here it is dropped, which the data set's rules ask for.
    const samples = truncated ? want.samples.slice(0, -1) : want.samples;
    const row = (output: string, error: number) =>
      recordParity({
        part,
        case: `webdataset ${shard}`,
        output,
        reference: 'webdataset 1.0.2',
        error,
        tolerance: 0,
        ...(truncated ? { note: 'the sample in which the archive was cut is dropped' } : {}),
      });
    row('samples', Math.abs(got.length - samples.length));
    for (const [i, { key, fields, image, txt, json_caption, json_error }] of samples.entries()) {
      const sample = got[i];
      assert.ok(sample);
      assert.equal(sample.key, key);
      row(
        `${key}: fields that differ`,
        Object.entries(fields).filter(([name, hash]) => sha256(sample.fields.get(name) ?? new Uint8Array(0)) !== hash)
          .length + Math.abs(sample.fields.size - Object.keys(fields).length),
      );
      if (txt !== undefined) assert.equal(new TextDecoder().decode(sample.fields.get('txt')), txt);
      const parse = (): { caption?: string } => JSON.parse(new TextDecoder().decode(sample.fields.get('json')));
      if (json_caption !== undefined) assert.equal(parse().caption, json_caption);
      if (json_error !== undefined) assert.throws(parse);
      const picture = [...sample.fields].find(([name]) => /^(?:jpg|png|webp)$/.test(name));
      if (image && picture)
        await checkImage({ case: `webdataset ${shard}`, output: `${key}: mean colour` }, picture[1], image);
    }
    const kinds = found
      .filter(({ kind }) => kind !== 'unsafe-name')
      .map(({ kind, name }) => `${kind} ${basename(name)}`);
    assert.deepEqual(kinds, truncated || want.error !== null ? [`truncated-shard ${shard}`] : []);
    assert.equal(found.filter(({ kind }) => kind === 'unsafe-name').length, shard === '00001.tar' ? 1 : 0);
    await source.close();
  });
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

test('Hugging Face imagefolder: rows of metadata.jsonl', async () => {
  const { problems, found } = collect();
  const source = await imageFolder(join(folder, 'imagefolder'), { problems });
  const row = (output: string, error: number) =>
    recordParity({ part, case: 'imagefolder', output, reference: 'datasets 5.2.0', error, tolerance: 0 });
  row('rows', Math.abs(source.count - expected.hf.imagefolder.rows.length));
  for (const [i, want] of expected.hf.imagefolder.rows.entries()) {
    const sample = (await source.read(i)) as EncodedSample;
    assert.equal(`imagefolder/${sample.name}`, want.file);
    assert.deepEqual(sample.captions, [want.text]);
    assert.deepEqual(sample.metadata, { score: want['score'] });
    row(`${sample.name}: bytes`, sha256(sample.image) === want.sha256 ? 0 : 1);
    await checkImage({ case: 'imagefolder', output: `${sample.name}: mean colour` }, sample.image, want.image);
  }
  assert.deepEqual(found, []);
});

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
    recordParity({ part, case: name, output: 'error', reference: 'datasets 5.2.0', error: 0, tolerance: 0 });
});

for (const [file, want] of Object.entries(expected.hf.parquet)) {
  test(`Hugging Face parquet ${file}`, async () => {
    const { problems } = collect();
    const bytes = await openFile(join(folder, file));
    const row = (output: string, error: number) =>
      recordParity({
        part,
        case: `parquet ${file}`,
        output,
        reference: 'datasets 5.2.0, pyarrow 26',
        error,
        tolerance: 0,
      });
    if (!want.rows) {
      await assert.rejects(parquetDataset([bytes], { problems }), { code: 'file-corrupt' });
      row('error', 0);
      return bytes.close();
    }
    const source = await parquetDataset([bytes], { problems });
    assert.equal(source.shards.length, want.row_groups);
    const samples = (await readAll(source)) as EncodedSample[];
    row('rows', Math.abs(samples.length - want.rows.length));
    for (const [i, wanted] of want.rows.entries()) {
      const sample = samples[i] as EncodedSample;
      assert.deepEqual(sample.captions, wanted.text === null ? [] : [wanted.text]);
      assert.deepEqual(sample.metadata, { width: wanted['width'], tags: wanted['tags'], path: wanted.file });
      row(`${wanted.file}: bytes`, sha256(sample.image) === wanted.sha256 ? 0 : 1);
      await checkImage({ case: `parquet ${file}`, output: `${wanted.file}: mean colour` }, sample.image, wanted.image);
    }
    const [first] = await gather(source.open(1, 5));
    assert.equal(first?.position, 5);
    await source.close();
  });
}

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
