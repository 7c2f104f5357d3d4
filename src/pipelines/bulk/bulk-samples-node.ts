/**
 * Samples in bulk: a set of numbered pictures in a folder, made in blocks of one batch each. A block that exists is not made again, so a
 * run can be stopped and started, and several processes can share a set. The folder keeps the settings of the set; a run with others is refused.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
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

export interface BulkOptions {
  readonly folder: string;
  readonly maker: BulkMaker;
  /** Pictures of the whole set. */
  readonly count: number;
  /** Pictures made at once. */
  readonly batch: number;
  /** This process's share: the blocks `index - 1`, `index - 1 + of`, … Default: all. */
  readonly shard?: { readonly index: number; readonly of: number } | undefined;
  /** `png` (default): `000000.png` and so on. `npz`: arrays as guided-diffusion writes them, joined when all are there. */
  readonly format?: 'png' | 'npz' | undefined;
  /** What the pictures are made of, as JSON; a folder of another set is refused. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly onPictures?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BulkResult {
  /** Pictures that this call made. */
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

/** Keeps the settings of the set, or compares. Throws `invalid-argument` for a folder of another set. */
async function claim(folder: string, settings: BulkOptions['settings']): Promise<void> {
  const text = `${JSON.stringify(settings, null, 2)}\n`;
  const path = join(folder, settingsName);
  await writeOnce(path, [new TextEncoder().encode(text)]);
  const there = await readTextIfThere('note', path);
  if (there === text) return;
  const old: Record<string, unknown> = JSON.parse(there ?? '{}');
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

/** Makes the pictures of this process's share that are not there. Throws `invalid-argument` for a folder of another set, `aborted`. */
export async function bulkSamples(options: BulkOptions): Promise<BulkResult> {
  const { folder, maker, count, batch, shard = { index: 1, of: 1 }, format = 'png', onPictures, signal } = options;
  const place = format === 'png' ? join(folder, 'img') : join(folder, 'blocks');
  await makeFolder(place);
  await claim(folder, { ...options.settings, count, batch, format });
  await removeHalfWritten(place);
  const there = new Set(await readdir(place));
  const indicesOf = (block: number): number[] =>
    Array.from({ length: Math.min(batch, count - block * batch) }, (_, i) => block * batch + i);
  const isThere = (block: number): boolean =>
    format === 'png' ? indicesOf(block).every((index) => there.has(pictureName(index))) : there.has(blockName(block));
  const blocks = Array.from({ length: Math.ceil(count / batch) }, (_, i) => i).filter(
    (block) => block % shard.of === shard.index - 1,
  );
  const total = blocks.reduce((sum, block) => sum + indicesOf(block).length, 0);
  let done = 0;
  let made = 0;
  for (const block of blocks) {
    throwIfAborted(signal);
    const indices = indicesOf(block);
    if (!isThere(block)) {
      const images = await maker.make(indices, signal);
      if (format === 'npz') await writeOnce(join(place, blockName(block)), [blockArchive(images, indices, maker)]);
      else
        for (const [i, image] of images.entries())
          await writeOnce(join(place, pictureName(indices[i] as number)), [
            await nodeImageCodec.encode(image, { format: 'png' }),
          ]);
      made += images.length;
    }
    done += indices.length;
    onPictures?.(done, total);
  }
  return { made, archive: format === 'npz' ? await joinBlocks(options) : undefined };
}
