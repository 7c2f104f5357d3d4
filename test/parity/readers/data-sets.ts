/** Data sets as people have them: WebDataset shards, Hugging Face image folders and parquet files, whole and damaged. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { StableDiffusionError } from '../../../src/errors.ts';
import { openFile } from '../../../src/files/byte-source-node.ts';
import { nodeImageCodec } from '../../../src/image/codec/codec-node.ts';
import type { Image } from '../../../src/image/image.ts';
import { imageFolder } from '../../../src/training/data/folder-node.ts';
import { parquetDataset } from '../../../src/training/data/parquet-node.ts';
import { createProblems, type Problem } from '../../../src/training/data/problems.ts';
import type { EncodedSample, ShardedSource } from '../../../src/training/data/sample.ts';
import { tarSamples } from '../../../src/training/data/webdataset.ts';
import { collecting, type Comparisons, listDifference } from '../comparisons.ts';
import type { Reader } from '../reader.ts';

interface ExpectedImage {
  readonly size?: readonly [number, number];
  readonly mean_rgb?: readonly number[];
  readonly error?: string;
}

interface ExpectedSample {
  readonly key: string;
  /** Hashes of the fields' bytes. */
  readonly fields: Readonly<Record<string, string>>;
  readonly image?: ExpectedImage;
  readonly txt?: string;
  readonly json_caption?: string;
  readonly json_error?: string;
}

interface ExpectedShard {
  readonly samples: readonly ExpectedSample[];
  readonly error: string | null;
}

interface ExpectedRow {
  readonly text: string | null;
  readonly file: string;
  readonly sha256: string;
  readonly image: ExpectedImage;
  readonly [field: string]: unknown;
}

interface ExpectedSet {
  readonly webdataset: Readonly<Record<string, ExpectedShard>>;
  readonly hf: {
    readonly parquet: Readonly<Record<string, { row_groups: number; rows?: readonly ExpectedRow[]; error?: string }>>;
    readonly [folder: string]: unknown;
  };
}

type Compare = (folder: string, expected: ExpectedSet, compare: Comparisons) => Promise<void>;
const kinds: readonly (readonly [RegExp, Compare])[] = [
  [/tar shards/, compareShards],
  [/metadata\.jsonl/, compareFolders],
  [/snappy|parquet/, compareParquet],
];
const kindOf = (exercises: unknown) => kinds.find(([pattern]) => pattern.test(String(exercises)))?.[1];

export const reader: Reader = {
  set: 'files',
  reads: ({ exercises }, part) => /datasets/.test(part) && kindOf(exercises) !== undefined,
  compare: collecting(async ({ setFolder, row }, compare) => {
    const path = join(setFolder, String(row['file']));
    await kindOf(row['exercises'])?.(dirname(path), JSON.parse(readFileSync(path, 'utf8')), compare);
  }),
};

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function collectProblems() {
  const found: Problem[] = [];
  return { problems: createProblems((problem) => found.push(problem)), found };
}

async function gather<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

/** Size and mean colour; decoders of JPEG and WebP may differ by 1 level. */
async function compareImage(
  compare: Comparisons,
  item: string,
  output: string,
  bytes: Uint8Array,
  want: ExpectedImage,
): Promise<void> {
  const image = await nodeImageCodec.decode(bytes).catch((cause: unknown) => {
    if (cause instanceof StableDiffusionError) return undefined;
    throw cause;
  });
  compare.exact(`${output}: decodes`, image !== undefined, want.error === undefined, { item });
  if (!image) return;
  compare.exact(`${output}: size`, [image.width, image.height], want.size, { item });
  compare.error(`${output}: mean colour`, listDifference(meanColour(image), want.mean_rgb ?? []), 1, { item });
}

function meanColour({ data, channels, width, height }: Image): number[] {
  const sums = new Array<number>(channels).fill(0);
  for (const [i, level] of data.entries()) sums[i % channels] = (sums[i % channels] ?? 0) + level;
  return sums.slice(0, 3).map((sum) => sum / (width * height));
}

async function compareShards(folder: string, { webdataset }: ExpectedSet, compare: Comparisons): Promise<void> {
  for (const [shard, want] of Object.entries(webdataset)) await compareShard(folder, shard, want, compare);
}

/** Samples in order, every byte of every field, and what is reported. */
async function compareShard(folder: string, shard: string, want: ExpectedShard, compare: Comparisons): Promise<void> {
  const { problems, found } = collectProblems();
  const source = await openFile(join(folder, shard));
  const got = await gather(tarSamples(source, problems));
  await source.close();
  const cut = want.error !== null || shard.includes('truncated');
  const whole = want.samples.filter((sample, i) => i < want.samples.length - 1 || !isCut(sample, shard));
  const note = whole.length < want.samples.length ? 'the sample in which the archive was cut is dropped' : undefined;
  compare.exact(
    'keys',
    got.map(({ key }) => key),
    whole.map(({ key }) => key),
    { item: shard, note },
  );
  for (const [i, { key, fields, image, txt, json_caption, json_error }] of whole.entries()) {
    const sample = got[i];
    if (!sample) continue;
    const hashes = Object.fromEntries([...sample.fields].map(([name, bytes]) => [name, sha256(bytes)]));
    compare.exact(`${key}: fields`, Object.entries(hashes).sort(), Object.entries(fields).sort(), { item: shard });
    const text = (name: string): string => new TextDecoder().decode(sample.fields.get(name));
    if (txt !== undefined) compare.exact(`${key}: txt`, text('txt'), txt, { item: shard });
    if (json_caption !== undefined)
      compare.exact(`${key}: caption`, JSON.parse(text('json')).caption, json_caption, { item: shard });
    if (json_error !== undefined) compare.exact(`${key}: json`, parses(text('json')), false, { item: shard });
    const picture = [...sample.fields].find(([name]) => /^(?:jpg|png|webp)$/.test(name));
    if (image && picture) await compareImage(compare, shard, key, picture[1], image);
  }
  const kinds = found.filter(({ kind }) => kind !== 'unsafe-name');
  const reported = kinds.map(({ kind, name }) => `${kind} ${basename(name)}`);
  compare.exact('problems', reported, cut ? [`truncated-shard ${shard}`] : [], { item: shard });
}

/** webdataset gives the sample in which an archive is cut; the training rules of the set ask to drop it. */
function isCut({ key }: ExpectedSample, shard: string): boolean {
  return shard.includes('truncated') && key !== '';
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

async function compareFolders(folder: string, { hf }: ExpectedSet, compare: Comparisons): Promise<void> {
  for (const [name, want] of Object.entries(hf)) {
    if (name === 'parquet') continue;
    const { rows } = want as { readonly rows?: readonly ExpectedRow[] };
    const { problems, found } = collectProblems();
    const opening = imageFolder(join(folder, name), { problems });
    if (!rows) {
      const refused = await opening.then(
        () => 'opened',
        (cause: { code?: string }) => cause.code,
      );
      const fits = refused === 'file-unsafe' || refused === 'file-not-found';
      compare.error('refused', fits ? 0 : 1, 0, { item: name, note: refused });
      continue;
    }
    const source = await opening;
    compare.exact('rows', source.count, rows.length, { item: name });
    for (const [i, row] of rows.entries()) {
      const sample = (await source.read(i)) as EncodedSample;
      const got = [`${name}/${sample.name}`, sample.captions, sample.metadata, sha256(sample.image)];
      compare.exact(`row ${i}`, got, [row.file, [row.text], { score: row['score'] }, row.sha256], { item: name });
      await compareImage(compare, name, `row ${i}`, sample.image, row.image);
    }
    compare.exact('problems', found, [], { item: name });
  }
}

async function compareParquet(folder: string, { hf }: ExpectedSet, compare: Comparisons): Promise<void> {
  for (const [file, want] of Object.entries(hf.parquet)) {
    const { problems } = collectProblems();
    const bytes = await openFile(join(folder, file));
    const opening = parquetDataset([bytes], { problems });
    if (!want.rows) {
      const refused = await opening.then(
        () => 'opened',
        (cause: { code?: string }) => cause.code,
      );
      compare.exact('refused', refused, 'file-corrupt', { item: file });
      await bytes.close();
      continue;
    }
    const source = await opening;
    compare.exact('row groups', source.shards.length, want.row_groups, { item: file });
    const samples = await readAll(source);
    compare.exact('rows', samples.length, want.rows.length, { item: file });
    for (const [i, row] of want.rows.entries()) {
      const sample = samples[i];
      if (!sample) continue;
      const metadata = { width: row['width'], tags: row['tags'], path: row.file };
      const captions = row.text === null ? [] : [row.text];
      const got = [sample.captions, sample.metadata, sha256(sample.image)];
      compare.exact(`row ${i}`, got, [captions, metadata, row.sha256], { item: file });
      await compareImage(compare, file, `row ${i}`, sample.image, row.image);
    }
    await source.close();
  }
}

async function readAll(source: ShardedSource): Promise<EncodedSample[]> {
  const samples: EncodedSample[] = [];
  for (const shard of source.shards.keys())
    for await (const { sample } of source.open(shard)) samples.push(sample as EncodedSample);
  return samples;
}
