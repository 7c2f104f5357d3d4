/**
 * Hugging Face data sets in Parquet: a column `image` of { bytes, path } or of bytes, a caption column, others as metadata. A shard is a
 * row group of a file, the least that can be read; positions are rows of the file.
 */

import { parquetMetadataAsync, parquetReadObjects, type RowGroup } from 'hyparquet';
import { compressors as allCompressors } from 'hyparquet-compressors';
import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import type { ByteSource } from '../../files/byte-source.ts';
import { splitCaptions } from './caption-fields.ts';
import { rowGroupProblem } from './parquet-limits.ts';
import type { Problems } from './problems.ts';
import type { PlacedSample, Sample, SampleMetadata, ShardedSource } from './sample.ts';

export interface ParquetOptions {
  readonly problems: Problems;
  /** Default `image`. */
  readonly imageField?: string;
  /** Default: the first of `text`, `caption`, `prompt`, … */
  readonly captionField?: string;
}

interface Group {
  readonly file: ByteSource;
  readonly start: number;
  readonly end: number;
  readonly content: RowGroup;
}

/** A page without values has no bytes in LZ4 either, which the decompressor does not expect. */
const orNothing =
  (decompress: (input: Uint8Array, length: number) => Uint8Array) =>
  (input: Uint8Array, length: number): Uint8Array =>
    length === 0 ? new Uint8Array(0) : decompress(input, length);

const compressors = Object.fromEntries(
  Object.entries(allCompressors).map(([name, decompress]) => [name, orNothing(decompress)]),
);

/** Samples of one or more files, which are closed with the source, or at once where it is refused. Throws `file-corrupt` where a file is not Parquet or is truncated, or has no image column. */
export async function parquetDataset(files: readonly ByteSource[], options: ParquetOptions): Promise<ShardedSource> {
  try {
    return datasetOf(files, await groupsOf(files, options.imageField ?? 'image'), options);
  } catch (cause) {
    for (const file of files) await file.close();
    throw cause;
  }
}

/** The row groups of all files. */
async function groupsOf(files: readonly ByteSource[], imageField: string): Promise<Group[]> {
  const groups: Group[] = [];
  for (const file of files) {
    const metadata = await parquetMetadataAsync(bufferOf(file)).catch((cause: unknown) => {
      throw corrupt(file, cause);
    });
    const columns = topLevel(metadata.schema);
    if (!columns.includes(imageField)) {
      throw new StableDiffusionError(
        'file-corrupt',
        `${file.label} has no column ${imageField}; it has ${columns.join(', ')}. Name the one with the pictures.`,
      );
    }
    let start = 0;
    for (const group of metadata.row_groups) {
      const end = start + Number(group.num_rows);
      if (end > start) groups.push({ file, start, end, content: group });
      start = end;
    }
  }
  return groups;
}

function datasetOf(files: readonly ByteSource[], groups: readonly Group[], options: ParquetOptions): ShardedSource {
  const { problems, imageField = 'image' } = options;
  return {
    label: files.map((file) => file.label).join(', '),
    shards: groups.map(({ file, start, end }) => `${file.label} rows ${start} to ${end - 1}`),
    async *open(shard, position, signal): AsyncGenerator<PlacedSample, void, void> {
      const group = groups[shard];
      if (!group)
        throw new StableDiffusionError(
          'invalid-argument',
          `The file has ${groups.length} row groups; ${shard} is out of range.`,
        );
      const { file, start, end, content } = group;
      throwIfAborted(signal);
      const from = Math.max(start, position ?? start);
      let rows: Record<string, unknown>[];
      try {
        const problem = await rowGroupProblem(file, content);
        if (problem !== undefined) throw new Error(problem);
        rows = await parquetReadObjects({
          file: bufferOf(file),
          rowStart: from,
          rowEnd: end,
          compressors,
          utf8: false,
        });
      } catch (cause) {
        problems.report('corrupt-shard', file.label, corrupt(file, cause).message);
        return;
      }
      for (const [i, row] of rows.entries()) {
        const sample = sampleOfRow(`${file.label}:${from + i}`, row, imageField, options);
        if (sample) yield { sample, position: from + i };
      }
    },
    async close() {
      for (const file of files) await file.close();
    },
  };
}

function sampleOfRow(
  name: string,
  row: Record<string, unknown>,
  imageField: string,
  options: ParquetOptions,
): Sample | undefined {
  const { [imageField]: picture, ...fields } = row;
  const { bytes, path } = (picture instanceof Uint8Array ? { bytes: picture } : (picture ?? {})) as {
    readonly bytes?: unknown;
    readonly path?: unknown;
  };
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
    captions,
    metadata: plain({ ...metadata, ...(typeof path === 'string' ? { path } : {}) }),
  };
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

/** Names of the columns; the schema is a tree in depth-first order. */
function topLevel(schema: readonly { readonly name: string; readonly num_children?: number | undefined }[]): string[] {
  const names: string[] = [];
  const skip = (at: number): number => {
    let next = at + 1;
    for (let child = 0; child < (schema[at]?.num_children ?? 0); child++) next = skip(next);
    return next;
  };
  for (let at = 1; at < schema.length; at = skip(at)) names.push(schema[at]?.name as string);
  return names;
}

function bufferOf(file: ByteSource): {
  readonly byteLength: number;
  slice(start: number, end?: number): Promise<ArrayBuffer>;
} {
  return {
    byteLength: file.size,
    async slice(start, end) {
      const from = start < 0 ? Math.max(0, file.size + start) : start;
      const bytes = await file.read(from, Math.max(0, Math.min(end ?? file.size, file.size) - from));
      return bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength
        ? (bytes.buffer as ArrayBuffer)
        : new Uint8Array(bytes).buffer;
    },
  };
}

function corrupt(file: ByteSource, cause: unknown): StableDiffusionError {
  if (cause instanceof StableDiffusionError) return cause;
  return new StableDiffusionError(
    'file-corrupt',
    `${file.label} is not a Parquet file or is damaged: ${cause instanceof Error ? cause.message : String(cause)}. Get it again.`,
    { cause },
  );
}
