/**
 * Reading zip archives as PyTorch writes them: stored records, zip64 where needed, found through the central directory
 * (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5). Deflated records are read too, for people re-zip checkpoints.
 *
 * Archives are untrusted. The directory must fit the file exactly, names must be unique, records must not overlap, and what would
 * inflate beyond bounds is refused before it is inflated.
 */

import { type ByteSource, checkRange } from './byte-source.ts';
import { dataLimits, findDirectory, headerSize, parseDirectory } from './zip-directory.ts';
import { corrupt, decodeName, encrypted, quote, viewOf } from './zip-errors.ts';
import { checkSum, inflate, type ZipRecord } from './zip-record.ts';

export interface ZipArchive {
  /** In the order of the directory. */
  readonly records: ReadonlyMap<string, ZipRecord>;
  /** Offset of a record's bytes. Reads its local header the first time. */
  dataOffset(record: ZipRecord): Promise<number>;
  /** A record's content from `offset`. The checksum is compared where the whole of a small record is read. */
  read(record: ZipRecord, offset?: number, length?: number): Promise<Uint8Array>;
}

/** Records up to this size are compared with their checksum. */
const checkedSize = 2 ** 20;

/** Reads the directory of an archive. Throws `file-truncated`, `file-corrupt`, `file-unsupported` or, for zip bombs, `file-unsafe`. */
export async function openZip(source: ByteSource): Promise<ZipArchive> {
  const { label } = source;
  const { start, size, count } = await findDirectory(source);
  const records = parseDirectory(label, await source.read(start, size), count);
  const limits = dataLimits(label, records, start);
  const offsets = new Map<string, number>();

  async function dataOffset(record: ZipRecord): Promise<number> {
    const known = offsets.get(record.name);
    if (known !== undefined) return known;
    const bytes = await source.read(record.headerOffset, headerSize);
    const view = viewOf(bytes);
    if (view.getUint32(0, true) !== 0x04034b50)
      throw corrupt(
        label,
        `the local header of record ${quote(record.name)} is missing at byte ${record.headerOffset}`,
      );
    if (view.getUint16(6, true) & 0x2041) throw encrypted(label, record.name);
    const nameLength = view.getUint16(26, true);
    const offset = record.headerOffset + headerSize + nameLength + view.getUint16(28, true);
    if (offset + record.storedSize > (limits.get(record.name) ?? 0))
      throw corrupt(label, `record ${quote(record.name)} reaches into what follows it`);
    const name = decodeName(label, await source.read(record.headerOffset + headerSize, nameLength));
    if (name !== record.name)
      throw corrupt(
        label,
        `a record is called ${quote(record.name)} in the directory and ${quote(name)} in its own header`,
      );
    offsets.set(record.name, offset);
    return offset;
  }

  return {
    records,
    dataOffset,
    async read(record, offset = 0, length = record.size) {
      checkRange({ label: `${label}, record ${quote(record.name)}`, size: record.size }, offset, length);
      const at = await dataOffset(record);
      if (!record.deflated) {
        const bytes = await source.read(at + offset, length);
        if (length === record.size && length <= checkedSize) checkSum(label, record, bytes);
        return bytes;
      }
      const bytes = inflate(label, record, await source.read(at, record.storedSize));
      checkSum(label, record, bytes);
      return length === record.size ? bytes : bytes.slice(offset, offset + length);
    },
  };
}
