/**
 * Decoding of Parquet: metadata and row groups as plain rows. Synchronous work of a length that a damaged file decides, so
 * `parquet-thread-node.ts` runs it in a thread that can be ended.
 */

import { type FileMetaData, parquetMetadataAsync, parquetReadObjects, type RowGroup } from 'hyparquet';
import { compressors as allCompressors } from 'hyparquet-compressors';
import type { ByteSource } from '../../files/byte-source.ts';
import { rowGroupProblem } from './parquet-limits.ts';

/** Row groups with their rows, and the names of the columns. */
export interface ParquetLayout {
  readonly columns: readonly string[];
  readonly groups: readonly { readonly start: number; readonly end: number }[];
}

export type ParquetRow = Readonly<Record<string, unknown>>;

/** A Parquet file whose metadata were read. */
export interface DecodedParquet {
  readonly layout: ParquetLayout;
  /** The rows of a row group from one row on. Throws what is wrong with the group. */
  rows(group: number, from: number): Promise<ParquetRow[]>;
}

/** A page without values has no bytes in LZ4 either, which the decompressor does not expect. */
const orNothing =
  (decompress: (input: Uint8Array, length: number) => Uint8Array) =>
  (input: Uint8Array, length: number): Uint8Array =>
    length === 0 ? new Uint8Array(0) : decompress(input, length);

const compressors = Object.fromEntries(
  Object.entries(allCompressors).map(([name, decompress]) => [name, orNothing(decompress)]),
);

/** Reads the metadata. Throws where the file is not Parquet. */
export async function decodeParquet(file: ByteSource): Promise<DecodedParquet> {
  const buffer = bufferOf(file);
  const metadata = await parquetMetadataAsync(buffer);
  const groups = metadata.row_groups as readonly RowGroup[];
  let end = 0;
  const spans = groups.map(({ num_rows }) => {
    const start = end;
    end += Number(num_rows);
    if (!(end >= start)) throw new Error(`a row group has ${Number(num_rows)} rows`);
    return { start, end };
  });
  return {
    layout: { columns: topLevel(metadata.schema), groups: spans },
    async rows(number, from) {
      const group = groups[number];
      const span = spans[number];
      if (!group || !span) return [];
      const problem = await rowGroupProblem(file, group);
      if (problem !== undefined) throw new Error(problem);
      return parquetReadObjects({
        file: buffer,
        metadata: metadata as FileMetaData,
        rowStart: from,
        rowEnd: span.end,
        compressors,
        utf8: false,
      });
    },
  };
}

/** Names of the columns; the schema is a tree in depth-first order. */
function topLevel(schema: readonly { readonly name: string; readonly num_children?: number | undefined }[]): string[] {
  const names: string[] = [];
  // The number of entries that are still to come, of the children of the root alone.
  for (let at = 1; at < schema.length; ) {
    names.push(schema[at]?.name as string);
    for (let open = 1; open > 0 && at < schema.length; at++) open += (schema[at]?.num_children ?? 0) - 1;
  }
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
