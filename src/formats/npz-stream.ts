/** NumPy's archives of any size, written in pieces: stored records, with zip64 fields where a size or an offset needs them (APPNOTE 6.3.10, 4.5.3). */

import { crc32 } from '../files/crc32.ts';
import { byteSize, type DType } from '../tensor/dtype.ts';
import { npyHeader } from './npy.ts';

export interface StreamedArray {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The numbers' bytes, little-endian, in C order. Called twice: for the checksum, and for the file. */
  readonly bytes: () => AsyncIterable<Uint8Array>;
}

const most = 0xffffffff;

interface Record {
  readonly name: Uint8Array;
  readonly crc: number;
  readonly size: number;
  readonly offset: number;
}

/** The fields that a local header and the directory share, with sizes and, in the directory, the offset in the zip64 extra field where they are large. */
function header({ name, crc, size, offset }: Record, inDirectory: boolean): Uint8Array {
  const large = size >= most;
  const far = inDirectory && offset >= most;
  const extra = large || far ? 4 + (large ? 16 : 0) + (far ? 8 : 0) : 0;
  const fixed = inDirectory ? 46 : 30;
  const out = new Uint8Array(fixed + name.length + extra);
  const view = new DataView(out.buffer);
  const at = inDirectory ? 6 : 4;
  view.setUint32(0, inDirectory ? 0x02014b50 : 0x04034b50, true);
  if (inDirectory) view.setUint16(4, 45, true);
  view.setUint16(at, 45, true);
  view.setUint32(at + 10, crc, true);
  view.setUint32(at + 14, large ? most : size, true);
  view.setUint32(at + 18, large ? most : size, true);
  view.setUint16(at + 22, name.length, true);
  view.setUint16(at + 24, extra, true);
  if (inDirectory) view.setUint32(42, far ? most : offset, true);
  out.set(name, fixed);
  if (extra === 0) return out;
  let to = fixed + name.length;
  view.setUint16(to, 1, true);
  view.setUint16(to + 2, extra - 4, true);
  to += 4;
  for (const value of [...(large ? [size, size] : []), ...(far ? [offset] : [])]) {
    view.setBigUint64(to, BigInt(value), true);
    to += 8;
  }
  return out;
}

function endOf(count: number, size: number, start: number): Uint8Array {
  const large = start >= most || size >= most;
  const out = new Uint8Array((large ? 76 : 0) + 22);
  const view = new DataView(out.buffer);
  if (large) {
    view.setUint32(0, 0x06064b50, true);
    view.setBigUint64(4, 44n, true);
    view.setUint16(12, 45, true);
    view.setUint16(14, 45, true);
    view.setBigUint64(24, BigInt(count), true);
    view.setBigUint64(32, BigInt(count), true);
    view.setBigUint64(40, BigInt(size), true);
    view.setBigUint64(48, BigInt(start), true);
    view.setUint32(56, 0x07064b50, true);
    view.setBigUint64(64, BigInt(start + size), true);
    view.setUint32(72, 1, true);
  }
  const at = large ? 76 : 0;
  view.setUint32(at, 0x06054b50, true);
  view.setUint16(at + 8, count, true);
  view.setUint16(at + 10, count, true);
  view.setUint32(at + 12, Math.min(size, most), true);
  view.setUint32(at + 16, Math.min(start, most), true);
  return out;
}

/** The archive's bytes. */
export async function* npzChunks(arrays: readonly StreamedArray[]): AsyncGenerator<Uint8Array, void, void> {
  const records: Record[] = [];
  let offset = 0;
  for (const { name, dtype, shape, bytes } of arrays) {
    const start = npyHeader(dtype, shape);
    const size = start.length + shape.reduce((product, side) => product * side, 1) * byteSize(dtype);
    let crc = crc32(start);
    for await (const chunk of bytes()) crc = crc32(chunk, crc);
    const record: Record = { name: new TextEncoder().encode(`${name}.npy`), crc, size, offset };
    records.push(record);
    const local = header(record, false);
    yield local;
    yield start;
    yield* bytes();
    offset += local.length + size;
  }
  const directory = records.map((record) => header(record, true));
  yield* directory;
  yield endOf(
    records.length,
    directory.reduce((sum, { length }) => sum + length, 0),
    offset,
  );
}
