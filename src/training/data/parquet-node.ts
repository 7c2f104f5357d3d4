/**
 * Hugging Face data sets in Parquet: a column `image` of { bytes, path } or of bytes, a caption column, others as metadata. A shard is a
 * row group of a file, the least that can be read; positions are rows of the file.
 */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import type { ByteSource } from '../../files/byte-source.ts';
import { splitCaptions } from './caption-fields.ts';
import type { ParquetRow } from './parquet-decoder.ts';
import { type ParquetThread, type ParquetThreadLimits, parquetThread } from './parquet-thread-node.ts';
import type { Problems } from './problems.ts';
import type { PlacedSample, Sample, SampleMetadata, ShardedSource } from './sample.ts';

export interface ParquetOptions {
  readonly problems: Problems;
  /** Default `image`. */
  readonly imageField?: string;
  /** Default: the first of `text`, `caption`, `prompt`, … */
  readonly captionField?: string;
  /** Column with the map of a control network. Default `conditioning_image`. */
  readonly mapField?: string;
  /** Of the thread that decodes. */
  readonly limits?: ParquetThreadLimits;
}

interface Opened {
  readonly file: ByteSource;
  readonly thread: ParquetThread;
}

interface Group extends Opened {
  /** Of the file. */
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

/** Samples of one or more files, which are closed with the source, or at once where it is refused. Throws `file-corrupt` where a file is not Parquet or is truncated, or has no image column. */
export async function parquetDataset(files: readonly ByteSource[], options: ParquetOptions): Promise<ShardedSource> {
  const opened = files.map((file) => ({ file, thread: parquetThread(file, options.limits) }));
  try {
    return datasetOf(opened, await groupsOf(opened, options.imageField ?? 'image'), options);
  } catch (cause) {
    await closeAll(opened);
    throw cause;
  }
}

async function closeAll(opened: readonly Opened[]): Promise<void> {
  for (const { file } of opened) await file.close();
}

/** The row groups of all files. */
async function groupsOf(opened: readonly Opened[], imageField: string): Promise<Group[]> {
  const groups: Group[] = [];
  for (const { file, thread } of opened) {
    await checkMagic(file);
    const layout = await thread.layout().catch((cause: unknown) => {
      throw corrupt(file, cause);
    });
    if (!layout.columns.includes(imageField)) {
      throw new StableDiffusionError(
        'file-corrupt',
        `${file.label} has no column ${imageField}; it has ${layout.columns.join(', ')}. Name the one with the pictures.`,
      );
    }
    for (const [number, { start, end }] of layout.groups.entries())
      if (end > start) groups.push({ file, thread, number, start, end });
  }
  return groups;
}

/** Reports a truncated file before it starts a thread. */
async function checkMagic(file: ByteSource): Promise<void> {
  const words = file.size < 12 ? '' : new TextDecoder('latin1').decode(await file.read(file.size - 4, 4));
  if (words !== 'PAR1') throw corrupt(file, new Error('it does not end with PAR1'));
}

function datasetOf(opened: readonly Opened[], groups: readonly Group[], options: ParquetOptions): ShardedSource {
  const { problems, imageField = 'image' } = options;
  return {
    label: opened.map(({ file }) => file.label).join(', '),
    shards: groups.map(({ file, start, end }) => `${file.label} rows ${start} to ${end - 1}`),
    async *open(shard, position, signal): AsyncGenerator<PlacedSample, void, void> {
      const group = groups[shard];
      if (!group)
        throw new StableDiffusionError(
          'invalid-argument',
          `The file has ${groups.length} row groups; ${shard} is out of range.`,
        );
      const { file, thread, number, start } = group;
      throwIfAborted(signal);
      const from = Math.max(start, position ?? start);
      let rows: readonly ParquetRow[];
      try {
        rows = await thread.rows(number, from, signal);
      } catch (cause) {
        // What depends on the machine, or is the caller's will, is not a fault of the shard: leaving it out would change the training.
        if (cause instanceof StableDiffusionError && (cause.code === 'too-large' || cause.code === 'aborted'))
          throw cause;
        problems.report('corrupt-shard', file.label, corrupt(file, cause).message);
        return;
      }
      for (const [i, row] of rows.entries()) {
        const sample = sampleOfRow(`${file.label}:${from + i}`, row, imageField, options);
        if (sample) yield { sample, position: from + i };
      }
    },
    close: () => closeAll(opened),
  };
}

function sampleOfRow(name: string, row: ParquetRow, imageField: string, options: ParquetOptions): Sample | undefined {
  const { mapField = 'conditioning_image' } = options;
  const { [imageField]: picture, [mapField]: map, ...fields } = row;
  const { bytes, path } = pictureOf(picture);
  const own = pictureOf(map).bytes;
  if (!(bytes instanceof Uint8Array)) {
    options.problems.report(
      'missing-image',
      name,
      `${name} holds no bytes of a picture${typeof path === 'string' ? `, only the path ${path}` : ''}.`,
    );
    return undefined;
  }
  const { captions, metadata } = splitCaptions(fields, options.captionField);
  return {
    name,
    image: bytes,
    ...(own instanceof Uint8Array ? { map: own } : {}),
    captions,
    metadata: plain({ ...metadata, ...(typeof path === 'string' ? { path } : {}) }),
  };
}

/** A cell with a picture: its bytes, or { bytes, path }. */
function pictureOf(cell: unknown): { readonly bytes?: unknown; readonly path?: unknown } {
  if (cell instanceof Uint8Array) return { bytes: cell };
  return typeof cell === 'object' && cell !== null ? cell : {};
}

/** 64-bit numbers that are safe become numbers. */
function plain(row: SampleMetadata): SampleMetadata {
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [
      key,
      typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value,
    ]),
  );
}

function corrupt(file: ByteSource, cause: unknown): StableDiffusionError {
  if (cause instanceof StableDiffusionError) return cause;
  return new StableDiffusionError(
    'file-corrupt',
    `${file.label} is not a Parquet file or is damaged: ${cause instanceof Error ? cause.message : String(cause)}. Get it again.`,
    { cause },
  );
}
