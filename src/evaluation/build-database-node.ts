/**
 * Builds a database for retrieval from a data set of pictures: CLIP's embeddings with names and sides, in `.npz` files of some thousand rows
 * (`embedding`, `img_id`, `patch_coords`, as retrieval-augmented diffusion reads them). Each file says where the next one goes on, so that a
 * run that was stopped continues.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
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

export interface BuildDatabaseOptions {
  readonly source: SampleSource;
  /** A CLIP. */
  readonly network: FeaturesNetwork;
  readonly folder: string;
  readonly codec: ImageCodec;
  readonly problems: Problems;
  /** Rows of a file. Default 4096. */
  readonly rows?: number | undefined;
  readonly onRows?: ((rows: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const partName = (part: number): string => `part-${String(part).padStart(5, '0')}.npz`;

/** All samples in their order, each with its number; broken ones are left away. */
async function* samplesOf(source: SampleSource, from: number, signal?: AbortSignal) {
  if ('count' in source) {
    for (let i = from; i < source.count; i++) yield { number: i, sample: await source.read(i, signal) };
    return;
  }
  let number = 0;
  for (const shard of source.shards.keys())
    for await (const { sample } of source.open(shard, undefined, signal)) {
      if (number >= from) yield { number, sample: sample as Sample | undefined };
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

interface Waiting {
  readonly image: Image<3>;
  readonly name: string;
}

/** Pictures that go through the network at once. */
const atOnce = 16;

/** Resolves to the number of rows of the whole database. Throws `invalid-argument` for a network that is no CLIP. */
export async function buildDatabase(options: BuildDatabaseOptions): Promise<number> {
  const { source, network, folder, codec, problems, rows = 4096, onRows, signal } = options;
  if (network.kind !== 'clip')
    throw new StableDiffusionError(
      'invalid-argument',
      'A database for retrieval needs a CLIP, and this is another network.',
    );
  await makeFolder(folder);
  await removeHalfWritten(folder);
  const there = await whatIsThere(folder);
  let { parts, rows: total } = there;
  const embeddings: Float32Array[] = [];
  const names: string[] = [];
  const sides: number[] = [];
  let waiting: Waiting[] = [];
  const embed = async (): Promise<void> => {
    if (waiting.length === 0) return;
    const { features } = await network.pictures(
      waiting.map(({ image }) => image),
      signal,
    );
    embeddings.push(features.data);
    for (const { image, name } of waiting) {
      names.push(name);
      sides.push(0, 0, image.width, image.height);
    }
    waiting = [];
  };
  const write = async (next: number): Promise<void> => {
    if (names.length === 0) return;
    const width = embeddings.reduce((sum, { length }) => sum + length, 0) / names.length;
    const data = new Float32Array(names.length * width);
    let at = 0;
    for (const part of embeddings.splice(0)) {
      data.set(part, at);
      at += part.length;
    }
    const archive = writeNpz({
      embedding: { dtype: 'float32', shape: [names.length, width], data },
      img_id: names,
      patch_coords: int64([names.length, 4], sides),
      next_sample: int64([1], [next]),
    });
    await writeNewFile(join(folder, partName(parts++)), [archive], { signal });
    total += names.length;
    names.length = 0;
    sides.length = 0;
    onRows?.(total);
  };
  let next = there.next;
  for await (const { number, sample } of samplesOf(source, there.next, signal)) {
    throwIfAborted(signal);
    next = number + 1;
    if (!sample || !('image' in sample)) continue;
    const image = await decodePicture(sample, codec, problems);
    if (!image) continue;
    waiting.push({ image: flatten(image), name: sample.name });
    if (waiting.length === atOnce || names.length + waiting.length === rows) await embed();
    if (names.length === rows) await write(next);
  }
  await embed();
  await write(next);
  return total;
}
