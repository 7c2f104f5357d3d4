/**
 * Filters a data set: what passes is written as WebDataset shards as img2dataset names their files, with its captions and metadata and what
 * was measured. A run that was stopped goes on after its last whole shard and ends with the same shards.
 */

import { demand, fieldsOf } from '../../arguments.ts';
import { join } from 'node:path';
import { alone, broadcastJson } from '../../distributed/communicator.ts';
import { writeNewFile } from '../../files/write-file-node.ts';
import { printExactJson } from '../../formats/exact-json.ts';
import { tarEnd, tarFile } from '../../training/data/write-tar.ts';
import type { EncodedSample } from '../../training/data/sample.ts';
import type { Verdict } from './judge.ts';
import { type JudgedSample, judgedSamples, type JudgedSamplesOptions } from './judged-samples.ts';
import { type Manifest, openFolder, readHashes, shardName, writeHashes, writeManifest } from './manifest-node.ts';
import { NearHashes } from './near-hashes.ts';

export interface FilterDataSetOptions extends JudgedSamplesOptions {
  readonly folder: string;
  /** Pictures of one shard. Default 10,000. */
  readonly shardSize?: number | undefined;
  /** Most hashes that are kept for the search of duplicates, 24 bytes each. Default 20 million. */
  readonly maximumHashes?: number | undefined;
  /** What the shards are made of and by, as JSON; a folder of other settings is refused. */
  readonly settings: Manifest['settings'];
  readonly onShard?: ((counts: Manifest['counts']) => void) | undefined;
}

type Kept = JudgedSample & { readonly sample: EncodedSample };

/** The files of a sample: picture, caption, metadata with the scores, map. */
function* filesOf(key: string, sample: EncodedSample, verdict: Verdict): Generator<Uint8Array, void, void> {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const { name, image, map, captions, metadata } = sample;
  const { width, height, format, language: _, caption: __, reason: ___, phash, similarity, aesthetic } = verdict;
  yield* tarFile(`${key}.${format === 'jpeg' || format === undefined ? 'jpg' : format}`, image);
  if (captions[0] !== undefined) yield* tarFile(`${key}.txt`, text(captions[0]));
  const record = {
    width,
    height,
    ...metadata,
    ...(captions.length > 1 ? { captions } : {}),
    ...(phash === undefined ? {} : { phash }),
    ...(similarity === undefined ? {} : { similarity }),
    ...(aesthetic === undefined ? {} : { AESTHETIC_SCORE: aesthetic }),
    source: name,
  };
  yield* tarFile(`${key}.json`, text(printExactJson(record)));
  if (map) yield* tarFile(`${key}.map.png`, map);
}

/** What passes, from where the manifest says. Counts all that goes by. */
async function* keptSamples(
  options: FilterDataSetOptions,
  { next }: Manifest,
  counts: Record<string, number>,
  hashes: NearHashes | undefined,
): AsyncGenerator<Kept, void, void> {
  for await (const judged of judgedSamples(options, next.block)) {
    if (judged.from.number + judged.index < next.block.number + next.done) continue;
    const { sample, verdict } = judged;
    const isDuplicate = !verdict.reason && verdict.phash !== undefined && hashes?.has(verdict.phash);
    const reason = verdict.reason ?? (isDuplicate ? 'duplicate' : undefined);
    counts.read = (counts.read ?? 0) + 1;
    const name = reason ?? 'kept';
    counts[name] = (counts[name] ?? 0) + 1;
    if (reason || !sample) continue;
    if (verdict.phash !== undefined) hashes?.add(verdict.phash);
    yield { ...judged, sample };
  }
}

async function writeShards(options: FilterDataSetOptions, begun: Manifest): Promise<Manifest> {
  const { folder, filter, shardSize = 10_000, maximumHashes = 2e7, onShard, signal } = options;
  const distance = filter.duplicateDistance;
  const near = distance === undefined ? undefined : new NearHashes(distance, maximumHashes);
  for (let shard = 0; near && shard < begun.shards; shard++)
    for (const hash of await readHashes(folder, shard)) near.add(hash);
  const counts: Record<string, number> = { read: 0, kept: 0, ...begun.counts };
  const digits = Math.max(4, String(shardSize - 1).length);
  const items = keptSamples(options, begun, counts, near);
  let manifest = begun;
  let item = await items.next();
  while (!item.done) {
    const { shards } = manifest;
    const hashes: string[] = [];
    let { next } = manifest;
    let size = 0;
    const shard = async function* (): AsyncGenerator<Uint8Array, void, void> {
      while (!item.done) {
        const { sample, verdict, from, index } = item.value;
        yield* filesOf(`${String(shards).padStart(5, '0')}${String(size).padStart(digits, '0')}`, sample, verdict);
        if (verdict.phash !== undefined) hashes.push(verdict.phash);
        next = { block: from, done: index + 1 };
        // The sample after the last of a shard is read when the manifest is written, so that the counts are of this shard's end.
        if (++size === shardSize) break;
        item = await items.next();
      }
      yield tarEnd;
    };
    await writeNewFile(join(folder, shardName(shards)), shard(), { replace: true, signal });
    if (near) await writeHashes(folder, shards, hashes);
    manifest = { ...manifest, shards: shards + 1, counts: { ...counts }, next };
    if (!item.done) {
      await writeManifest(folder, manifest);
      onShard?.(counts);
      item = await items.next();
    }
  }
  const done = { ...manifest, complete: true, counts };
  await writeManifest(folder, done);
  return done;
}

/**
 * Writes the shards that are not there, and resolves to the manifest; on ranks after the first, which only measure, to undefined. Throws
 * `file-exists`, `invalid-argument` for a folder of other settings, `busy`, `too-large` for too many hashes, `aborted`.
 */
export async function filterDataSet(options: FilterDataSetOptions): Promise<Manifest | undefined> {
  const given = fieldsOf(options, 'The options of filterDataSet', 'an object with a folder');
  demand(typeof given['folder'] === 'string', 'The folder of the data set', 'a path', given['folder']);
  const { folder, ranks = alone } = options;
  const opened = ranks.rank === 0 ? await openFolder(folder, options.settings) : undefined;
  try {
    const manifest = await broadcastJson(ranks, opened?.manifest);
    if (manifest.complete) return opened && manifest;
    if (opened) return await writeShards(options, manifest);
    for await (const _ of judgedSamples(options, manifest.next.block));
    return undefined;
  } finally {
    await opened?.lock.release();
  }
}
