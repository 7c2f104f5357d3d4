/**
 * Builds a database for retrieval from a data set of pictures: CLIP's embeddings with names and sides, in `.npz` files of some thousand rows
 * (`embedding`, `img_id`, `patch_coords`, as retrieval-augmented diffusion reads them). Each file says where the next one goes on, so that a
 * run that was stopped continues.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { alone, broadcastJson, type Communicator, gatherJson } from '../distributed/communicator.ts';
import { openFile } from '../files/byte-source-node.ts';
import { makeFolder } from '../files/make-folder-node.ts';
import { removeHalfWritten, writeNewFile } from '../files/write-file-node.ts';
import { openNpz, writeNpz } from '../formats/npz.ts';
import type { ImageCodec } from '../image/codec/codec.ts';
import { flatten, type Image } from '../image/image.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { int64 } from '../tensor/tensor.ts';
import { decodePicture } from '../training/data/batches.ts';
import type { Problems } from '../training/data/problems.ts';
import type { Sample, SampleSource } from '../training/data/sample.ts';
import type { FeaturesNetwork } from './features.ts';
import { gatherRows } from './gather-rows.ts';

export interface BuildDatabaseOptions {
  readonly source: SampleSource;
  /** A CLIP. */
  readonly network: FeaturesNetwork;
  readonly folder: string;
  readonly codec: ImageCodec;
  readonly problems: Problems;
  /** Rows of a file. Default 4096. */
  readonly rows?: number | undefined;
  /** The processes that share the work; rank 0 writes. Default: this one alone. */
  readonly ranks?: Communicator | undefined;
  readonly onRows?: ((rows: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const partName = (part: number): string => `part-${String(part).padStart(5, '0')}.npz`;

/** All samples in their order, each with its number. */
async function* samplesOf(source: SampleSource, from: number, signal?: AbortSignal) {
  if ('count' in source) {
    for (let i = from; i < source.count; i++) yield { number: i, read: () => source.read(i, signal) };
    return;
  }
  let number = 0;
  for (const shard of source.shards.keys())
    for await (const { sample } of source.open(shard, undefined, signal)) {
      if (number >= from) yield { number, read: async () => sample as Sample | undefined };
      number++;
    }
}

interface There {
  readonly parts: number;
  readonly rows: number;
  /** Number of the sample to go on with. */
  readonly next: number;
}

async function whatIsThere(folder: string): Promise<There> {
  const names = (await readdir(folder)).filter((name) => /^part-\d{5}\.npz$/.test(name)).sort();
  let [rows, next] = [0, 0];
  for (const [i, name] of names.entries()) {
    if (name !== partName(i))
      throw new StableDiffusionError('invalid-argument', `${folder} lacks ${partName(i)}. Use an empty folder.`);
    const source = await openFile(join(folder, name));
    try {
      const archive = await openNpz(source);
      rows += (await archive.read('patch_coords')).shape[0] ?? 0;
      next = Number((await archive.read('next_sample')).data[0]);
    } finally {
      await source.close();
    }
  }
  return { parts: names.length, rows, next };
}

/** Pictures that go through the network at once. */
const atOnce = 16;

/** A picture's row of the database. */
interface Row {
  /** Of the sample. */
  readonly number: number;
  readonly name: string;
  readonly width: number;
  readonly height: number;
}

interface EmbeddedRow extends Row {
  readonly embedding: Float32Array;
}

/** The pictures of one rank in a round: its block of `atOnce` samples. */
class Block {
  readonly #options: BuildDatabaseOptions;
  readonly #waiting: { readonly row: Row; readonly image: Image<3> }[] = [];

  constructor(options: BuildDatabaseOptions) {
    this.#options = options;
  }

  async add(number: number, sample: Sample | undefined): Promise<void> {
    const { codec, problems } = this.#options;
    if (!sample || !('image' in sample)) return;
    const decoded = await decodePicture(sample, codec, problems);
    if (!decoded) return;
    const image = flatten(decoded);
    this.#waiting.push({ row: { number, name: sample.name, width: image.width, height: image.height }, image });
  }

  /** The rows of all ranks, in the order of the samples. */
  async embed(): Promise<EmbeddedRow[]> {
    const { network, ranks = alone, signal } = this.#options;
    const own = this.#waiting.splice(0);
    const images = own.map(({ image }) => image);
    const values = images.length > 0 ? (await network.pictures(images, signal)).features.data : new Float32Array(0);
    const rows = (
      await gatherJson(
        ranks,
        own.map(({ row }) => row),
      )
    ).flat();
    const places = await ranks.allGather(Int32Array.of(own.length));
    const first = places.subarray(0, ranks.rank).reduce((sum, count) => sum + count, 0);
    const { width, data } = await gatherRows(
      ranks,
      own.map((_, i) => first + i),
      values as Float32Array<ArrayBuffer>,
    );
    return rows.map((row, i) => ({ ...row, embedding: data.subarray(i * width, (i + 1) * width) }));
  }
}

/** Rows from sample `from` on, some at a time, with the number of the sample after them. Of several ranks each reads, decodes and embeds a part. */
async function* embedded(options: BuildDatabaseOptions, from: number) {
  const { source, ranks = alone, signal } = options;
  const block = new Block(options);
  const isOwn = (number: number): boolean => Math.floor(number / atOnce) % ranks.size === ranks.rank;
  let next = from;
  for await (const { number, read } of samplesOf(source, from, signal)) {
    throwIfAborted(signal);
    next = number + 1;
    if (isOwn(number)) await block.add(number, await read());
    if (next % (atOnce * ranks.size) === 0) yield { rows: await block.embed(), next };
  }
  yield { rows: await block.embed(), next };
}

function archiveOf(rows: readonly EmbeddedRow[], next: number): Uint8Array {
  const width = rows[0]?.embedding.length ?? 0;
  const data = new Float32Array(rows.length * width);
  for (const [i, { embedding }] of rows.entries()) data.set(embedding, i * width);
  return writeNpz({
    embedding: { dtype: 'float32', shape: [rows.length, width], data },
    img_id: rows.map(({ name }) => name),
    patch_coords: int64(
      [rows.length, 4],
      rows.flatMap((row) => [0, 0, row.width, row.height]),
    ),
    next_sample: int64([1], [next]),
  });
}

/** Resolves to the number of rows of the whole database. Throws `invalid-argument` for a network that is no CLIP. */
export async function buildDatabase(options: BuildDatabaseOptions): Promise<number> {
  const { network, folder, rows = 4096, ranks = alone, onRows, signal } = options;
  if (network.kind !== 'clip')
    throw new StableDiffusionError(
      'invalid-argument',
      'A database for retrieval needs a CLIP, and this is another network.',
    );
  if (ranks.rank === 0) {
    await makeFolder(folder);
    await removeHalfWritten(folder);
  }
  const there = await broadcastJson(ranks, ranks.rank === 0 ? await whatIsThere(folder) : undefined);
  let { parts, rows: total } = there;
  const waiting: EmbeddedRow[] = [];
  const write = async (count: number, next: number): Promise<void> => {
    const own = waiting.splice(0, count);
    total += own.length;
    const part = join(folder, partName(parts++));
    if (ranks.rank === 0) await writeNewFile(part, [archiveOf(own, next)], { signal });
    onRows?.(total);
  };
  let end = there.next;
  for await (const { rows: some, next } of embedded(options, there.next)) {
    waiting.push(...some);
    while (waiting.length >= rows) await write(rows, (waiting[rows - 1]?.number ?? 0) + 1);
    end = next;
  }
  if (waiting.length > 0) await write(waiting.length, end);
  return total;
}
