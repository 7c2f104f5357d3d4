/**
 * The resources that a row group of a Parquet file needs, determined before decoding: the sizes that the file states, and the headers of its pages
 * (`parquet.thrift`, PageHeader). Most files that lie about their numbers are refused here; `parquet-thread-node.ts` bounds the rest.
 */

import type { RowGroup } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import type { ByteSource } from '../../files/byte-source.ts';

/** Rows of a row group: what Hugging Face writes has 100 to 1000, pyarrow's default is 2^20. */
const mostRows = 2 ** 20;

/** Values of a column: a row may hold a list of numbers. */
const mostValues = 8 * mostRows;

/** Bytes of a row group after decompression. */
const mostBytes = 2 ** 30;

/** Pictures do not shrink, and texts shrink some 10 times; what is small may shrink more. */
const mostExpansion = 16;
const freeBytes = 2 ** 26;

/** Bytes that are read at once for a page's header, and the longest that is accepted. */
const headerWindow = 2 ** 13;
const longestHeader = 2 ** 20;

/** Why a row group is not decoded, or undefined where it may be. Throws where a header cannot be read. */
export async function rowGroupProblem(file: ByteSource, group: RowGroup): Promise<string | undefined> {
  const rows = Number(group.num_rows);
  if (rows > mostRows) return `a row group has ${rows} rows, and at most ${mostRows} are read at once`;
  let total = 0;
  for (const { meta_data: column } of group.columns) {
    if (!column) continue;
    const values = Number(column.num_values);
    const start = Number(column.dictionary_page_offset || column.data_page_offset);
    const size = Number(column.total_compressed_size);
    const name = column.path_in_schema.join('.');
    if (!(start >= 0 && size >= 0 && start + size <= file.size)) return `column ${name} lies outside of the file`;
    if (!(values >= 0) || values > mostValues) return `column ${name} has ${values} values`;
    const pages = await pagesOf(file, start, size, values);
    if (typeof pages === 'string') return `column ${name} ${pages}`;
    total += pages.bytes;
    if (pages.bytes > mostExpansion * size + freeBytes)
      return `column ${name} has ${size} bytes and would become ${pages.bytes}`;
    if (total > mostBytes) return `a row group would take more than ${mostBytes} bytes`;
  }
  return undefined;
}

/** Bytes of a column chunk's pages after decompression; or what is wrong with one of them. */
async function pagesOf(
  file: ByteSource,
  start: number,
  size: number,
  values: number,
): Promise<{ readonly bytes: number } | string> {
  let bytes = 0;
  let left = values;
  for (let at = start; at < start + size && left > 0; ) {
    const { header, length } = await headerAt(file, at, start + size);
    const { compressed_page_size: packed, uncompressed_page_size: unpacked } = header;
    const page = header.data_page_header ?? header.data_page_header_v2;
    const count = page?.num_values ?? header.dictionary_page_header?.num_values ?? 0;
    if (!(packed >= 0 && unpacked >= 0) || at + length + packed > start + size) return 'has a page of a wrong size';
    // A dictionary page has at most as many entries as values; data pages have all values together.
    if (!(count >= 0) || count > (page ? left : values))
      return `has a page of ${count} values, and ${page ? left : values} are left`;
    bytes += unpacked;
    if (page) left -= count;
    at += length + packed;
  }
  return { bytes };
}

async function headerAt(
  file: ByteSource,
  at: number,
  end: number,
): Promise<{ readonly header: ReturnType<typeof parquetHeader>; readonly length: number }> {
  for (let window = headerWindow; ; window *= 8) {
    const bytes = await file.read(at, Math.min(window, end - at));
    const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 };
    try {
      return { header: parquetHeader(reader), length: reader.offset };
    } catch (cause) {
      if (window >= longestHeader || window >= end - at) throw cause;
    }
  }
}
