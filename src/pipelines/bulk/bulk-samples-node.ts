/**
 * Samples in bulk: a set of numbered pictures in a folder, made in blocks of one batch each. A block that exists is not made again, so a
 * run can be stopped and started, and several processes can share a set. The folder keeps the settings of the set; a run with others is refused.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { alone, type Communicator } from '../../distributed/communicator.ts';
import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { openFile } from '../../files/byte-source-node.ts';
import { makeFolder } from '../../files/make-folder-node.ts';
import { readTextIfThere } from '../../files/open-node.ts';
import { removeHalfWritten, writeNewFile } from '../../files/write-file-node.ts';
import { openNpz, writeNpz } from '../../formats/npz.ts';
import { npzChunks, type StreamedArray } from '../../formats/npz-stream.ts';
import { nodeImageCodec } from '../../image/codec/codec-node.ts';
import type { Image } from '../../image/image.ts';
import { bytesOf, int64, tensor } from '../../tensor/tensor.ts';
import type { BulkMaker } from './maker.ts';

/** Part `index` (from 1) of `of` parts. */
export interface Shard {
  readonly index: number;
  readonly of: number;
}

export interface BulkOptions {
  readonly folder: string;
  readonly maker: BulkMaker;
  /** Pictures of the whole set. */
  readonly count: number;
  /** Pictures made at once. */
  readonly batch: number;
  /** This process's share: the blocks `index - 1`, `index - 1 + of`, … Default: all. */
  readonly shard?: Shard | undefined;
  /** Ranks that divide this share among them; all call this function. Default: this process alone. */
  readonly ranks?: Communicator | undefined;
  /** `png` (default): `000000.png` and so on. `npz`: arrays as guided-diffusion writes them, joined when all are there. */
  readonly format?: 'png' | 'npz' | undefined;
  /** What the pictures are made of, as JSON; a folder of another set is refused. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly onPictures?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BulkResult {
  /** Pictures that this call made, on all ranks. */
  readonly made: number;
  /** Path of the archive, where this call or another has joined it. */
  readonly archive: string | undefined;
}

const settingsName = 'sampling.json';
const pictureName = (index: number): string => `${String(index).padStart(6, '0')}.png`;
const blockName = (block: number): string => `block-${String(block).padStart(6, '0')}.npz`;

const isTaken = (error: unknown): boolean => error instanceof StableDiffusionError && error.code === 'file-exists';

/** Writes a file unless somebody else has. */
async function writeOnce(
  path: string,
  chunks: Parameters<typeof writeNewFile>[1],
  signal?: AbortSignal,
): Promise<void> {
  await writeNewFile(path, chunks, { signal }).catch((error: unknown) => {
    if (!isTaken(error)) throw error;
  });
}

/** The settings of a set; undefined for a text that is none. */
function settingsIn(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps the settings of the set, or compares. Throws `invalid-argument` for a folder of another set. */
async function claim(folder: string, settings: BulkOptions['settings']): Promise<void> {
  const text = `${JSON.stringify(settings, null, 2)}\n`;
  const path = join(folder, settingsName);
  await writeOnce(path, [new TextEncoder().encode(text)]);
  const there = await readTextIfThere('note', path);
  if (there === text) return;
  const old = settingsIn(there ?? '{}');
  if (!old) throw new StableDiffusionError('file-corrupt', `${path} does not hold the settings of samples. Remove it.`);
  const names = [...new Set([...Object.keys(old), ...Object.keys(settings)])];
  const other = names.filter((name) => JSON.stringify(old[name]) !== JSON.stringify(settings[name]));
  throw new StableDiffusionError(
    'invalid-argument',
    `${folder} holds samples of other settings (${other.join(', ')}). Use another folder, or the same settings.`,
  );
}

/** The pictures as one array [n, h, w, 3], with their classes. */
function blockArchive(images: readonly Image<3>[], indices: readonly number[], { classOf }: BulkMaker): Uint8Array {
  const [first] = images;
  const size = first?.data.length ?? 0;
  const data = new Uint8Array(images.length * size);
  for (const [i, image] of images.entries()) data.set(image.data, i * size);
  const pictures = tensor('uint8', [images.length, first?.height ?? 0, first?.width ?? 0, 3], data);
  return writeNpz({
    arr_0: pictures,
    ...(classOf ? { arr_1: int64([indices.length], indices.map(classOf)) } : {}),
  });
}

async function* blockBytes(paths: readonly string[]): AsyncGenerator<Uint8Array, void, void> {
  for (const path of paths) {
    const source = await openFile(path);
    try {
      yield bytesOf(await (await openNpz(source)).read('arr_0'));
    } finally {
      await source.close();
    }
  }
}

/** The archive of the whole set, once all blocks are there. */
async function joinBlocks({ folder, count, batch, maker, signal }: BulkOptions): Promise<string | undefined> {
  const { width, height, classOf } = maker;
  const path = join(folder, `samples_${count}x${height}x${width}x3.npz`);
  const names = await readdir(folder);
  if (names.includes(path.slice(folder.length + 1))) return path;
  const blocks = Array.from({ length: Math.ceil(count / batch) }, (_, i) => blockName(i));
  const there = new Set(await readdir(join(folder, 'blocks')));
  if (!blocks.every((name) => there.has(name))) return undefined;
  const paths = blocks.map((name) => join(folder, 'blocks', name));
  const arrays: StreamedArray[] = [
    { name: 'arr_0', dtype: 'uint8', shape: [count, height, width, 3], bytes: () => blockBytes(paths) },
  ];
  if (classOf) {
    const labels = bytesOf(
      int64(
        [count],
        Array.from({ length: count }, (_, i) => classOf(i)),
      ),
    );
    arrays.push({
      name: 'arr_1',
      dtype: 'int64',
      shape: [count],
      bytes: async function* () {
        yield labels;
      },
    });
  }
  await writeOnce(path, npzChunks(arrays), signal);
  return path;
}

/** The blocks of a share, and which of them are there. */
class Blocks {
  readonly #options: BulkOptions;
  readonly #count: number;
  /** Folder of the pictures or blocks. */
  readonly place: string;

  constructor(options: BulkOptions) {
    const { folder, count, batch, format } = options;
    this.#options = options;
    this.#count = Math.ceil(count / batch);
    this.place = join(folder, format === 'npz' ? 'blocks' : 'img');
  }

  of(shard: Shard): readonly number[] {
    return Array.from({ length: this.#count }, (_, i) => i).filter((block) => block % shard.of === shard.index - 1);
  }

  indices(block: number): number[] {
    const { batch, count } = this.#options;
    return Array.from({ length: Math.min(batch, count - block * batch) }, (_, i) => block * batch + i);
  }

  /** Whether a block is in the folder, as it is now. */
  async there(): Promise<(block: number) => boolean> {
    const names = new Set(await readdir(this.place));
    return (block) =>
      this.#options.format === 'npz'
        ? names.has(blockName(block))
        : this.indices(block).every((index) => names.has(pictureName(index)));
  }

  async write(block: number, images: readonly Image<3>[]): Promise<void> {
    const { format, maker } = this.#options;
    const indices = this.indices(block);
    if (format === 'npz') await writeOnce(join(this.place, blockName(block)), [blockArchive(images, indices, maker)]);
    else
      for (const [i, image] of images.entries())
        await writeOnce(join(this.place, pictureName(indices[i] as number)), [
          await nodeImageCodec.encode(image, { format: 'png' }),
        ]);
  }
}

/** Rank 0 begins, so that the others find the settings of the set. */
async function prepare(options: BulkOptions, ranks: Communicator, { place }: Blocks): Promise<void> {
  const { folder, count, batch, format = 'png' } = options;
  for (const first of [true, false]) {
    if (first === (ranks.rank === 0)) {
      await makeFolder(place);
      await claim(folder, { ...options.settings, count, batch, format });
      if (first) await removeHalfWritten(place);
    }
    await ranks.barrier();
  }
}

/** Throws `file-not-found` where blocks of other ranks are not in the folder that rank 0 sees. */
async function mustSee(blocks: Blocks, share: readonly number[]): Promise<void> {
  const isThere = await blocks.there();
  const missing = share.filter((block) => !isThere(block));
  if (missing.length > 0)
    throw new StableDiffusionError(
      'file-not-found',
      `${blocks.place} lacks ${missing.flatMap((block) => blocks.indices(block)).length} pictures that other ranks made. All ranks need the same folder.`,
    );
}

/** The part of a share that a rank has. */
const shardOf = ({ index, of }: Shard, { rank, size }: Communicator): Shard => ({
  index: index + of * rank,
  of: of * size,
});

/**
 * Makes the pictures of this process's share that are not there. Throws `invalid-argument` for a folder of another set, `file-not-found`
 * where ranks do not share the folder, `aborted`.
 */
export async function bulkSamples(options: BulkOptions): Promise<BulkResult> {
  const { maker, shard = { index: 1, of: 1 }, ranks = alone, format, onPictures, signal } = options;
  const blocks = new Blocks(options);
  await prepare(options, ranks, blocks);
  const isThere = await blocks.there();
  const own = blocks.of(shardOf(shard, ranks));
  const total = own.reduce((sum, block) => sum + blocks.indices(block).length, 0);
  let done = 0;
  let made = 0;
  for (const block of own) {
    throwIfAborted(signal);
    const indices = blocks.indices(block);
    if (!isThere(block)) {
      await blocks.write(block, await maker.make(indices, signal));
      made += indices.length;
    }
    done += indices.length;
    onPictures?.(done, total);
  }
  const { 0: madeByAll = 0 } = await ranks.allReduce(Float64Array.of(made));
  if (ranks.rank > 0) return { made: madeByAll, archive: undefined };
  if (ranks.size > 1) await mustSee(blocks, blocks.of(shard));
  return { made: madeByAll, archive: format === 'npz' ? await joinBlocks(options) : undefined };
}
