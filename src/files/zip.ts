/**
 * Reading zip archives as PyTorch writes them: stored records, zip64 where needed, found through the central directory
 * (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5). Deflated records are read too, for people re-zip checkpoints.
 *
 * Archives are untrusted. The directory must fit the file exactly, names must be unique, records must not overlap, and what would
 * inflate beyond bounds is refused before it is inflated.
 */

import { Inflate } from 'fflate';
import { StableDiffusionError } from '../errors.ts';
import { type ByteSource, checkRange } from './byte-source.ts';
import { crc32 } from './crc32.ts';

export interface ZipRecord {
  readonly name: string;
  /** Bytes of the content. */
  readonly size: number;
  /** Bytes in the file. */
  readonly storedSize: number;
  readonly deflated: boolean;
  readonly crc: number;
  /** Offset of the local header in the file. */
  readonly headerOffset: number;
}

export interface ZipArchive {
  /** In the order of the directory. */
  readonly records: ReadonlyMap<string, ZipRecord>;
  /** Offset of a record's bytes. Reads its local header the first time. */
  dataOffset(record: ZipRecord): Promise<number>;
  /** A record's content from `offset`. The checksum is compared where the whole of a small record is read. */
  read(record: ZipRecord, offset?: number, length?: number): Promise<Uint8Array>;
}

const endSize = 22;
const end64Size = 56;
const locatorSize = 20;
const entrySize = 46;
const headerSize = 30;
const maximumDirectory = 64 * 2 ** 20;
/** A deflated record may be this large, and above `freeSize` inflate to this many times its stored size. */
const maximumInflated = 64 * 2 ** 20;
const maximumRatio = 200;
const freeSize = 2 ** 20;
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

async function findDirectory(source: ByteSource): Promise<{ start: number; size: number; count: number }> {
  const { label } = source;
  const tailSize = Math.min(source.size, endSize + 0xffff + locatorSize + end64Size);
  const tailStart = source.size - tailSize;
  const view = viewOf(await source.read(tailStart, tailSize));
  let at = tailSize - endSize;
  while (
    at >= 0 &&
    !(view.getUint32(at, true) === 0x06054b50 && at + endSize + view.getUint16(at + 20, true) === tailSize)
  )
    at--;
  if (at < 0) {
    throw new StableDiffusionError(
      'file-truncated',
      `${label} is truncated: it starts as a zip archive, but the directory at its end is missing. Obtain it again.`,
    );
  }
  let count = view.getUint16(at + 10, true);
  let size = view.getUint32(at + 12, true);
  let start = view.getUint32(at + 16, true);
  let end = tailStart + at;
  let disks = view.getUint16(at + 4, true) | view.getUint16(at + 6, true) | (view.getUint16(at + 8, true) ^ count);

  const locator = at - locatorSize;
  const wants64 = count === 0xffff || size === 0xffffffff || start === 0xffffffff;
  if (locator >= 0 && view.getUint32(locator, true) === 0x07064b50) {
    end = safe(label, view.getBigUint64(locator + 8, true));
    const end64 = end - tailStart;
    if (end64 < 0 || end64 + end64Size > locator || view.getUint32(end64, true) !== 0x06064b50)
      throw corrupt(label, 'its zip64 end record is not where it should be');
    if (end64 + 12 + safe(label, view.getBigUint64(end64 + 4, true)) !== locator)
      throw corrupt(label, 'its zip64 end record has a wrong size');
    const count64 = safe(label, view.getBigUint64(end64 + 32, true));
    const size64 = safe(label, view.getBigUint64(end64 + 40, true));
    const start64 = safe(label, view.getBigUint64(end64 + 48, true));
    if (
      (count !== 0xffff && count !== count64) ||
      (size !== 0xffffffff && size !== size64) ||
      (start !== 0xffffffff && start !== start64)
    ) {
      throw corrupt(label, 'its two end records disagree');
    }
    [count, size, start] = [count64, size64, start64];
    disks = view.getUint32(end64 + 16, true) | view.getUint32(end64 + 20, true);
  } else if (wants64) throw corrupt(label, 'its end record points to a zip64 one, which is missing');

  if (disks !== 0) throw corrupt(label, 'it is one part of an archive of several files, or its end record is damaged');
  if (start + size !== end)
    throw corrupt(
      label,
      `its directory should take ${size} bytes at byte ${start}, and that is not where the end record is (byte ${end})`,
    );
  if (size > maximumDirectory)
    throw corrupt(label, `its directory takes ${size} bytes, and ${maximumDirectory} is the most that is read`);
  if (count * entrySize > size)
    throw corrupt(label, `its end record announces ${count} records, and the directory ends before`);
  return { start, size, count };
}

function parseDirectory(label: string, bytes: Uint8Array, count: number): Map<string, ZipRecord> {
  const view = viewOf(bytes);
  const records = new Map<string, ZipRecord>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + entrySize > bytes.length || view.getUint32(at, true) !== 0x02014b50) {
      throw corrupt(label, `its end record announces ${count} records, and the directory ends after ${i}`);
    }
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + entrySize + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) throw corrupt(label, 'its directory is cut off');
    const name = decodeName(label, bytes.subarray(at + entrySize, at + entrySize + nameLength));
    const flags = view.getUint16(at + 8, true);
    const method = view.getUint16(at + 10, true);
    if (flags & 0x2041) throw encrypted(label, name);
    if (method !== 0 && method !== 8) {
      throw new StableDiffusionError(
        'file-unsupported',
        `${label}: record ${quote(name)} is compressed by method ${method}, and only stored and deflated records can be read.`,
      );
    }
    const extra = viewOf(bytes.subarray(at + entrySize + nameLength, at + entrySize + nameLength + extraLength));
    const [size, storedSize, headerOffset] = wideFields(label, name, extra, [
      view.getUint32(at + 24, true),
      view.getUint32(at + 20, true),
      view.getUint32(at + 42, true),
    ]);
    const record: ZipRecord = {
      name,
      size,
      storedSize,
      headerOffset,
      deflated: method === 8,
      crc: view.getUint32(at + 16, true),
    };
    checkSizes(label, record);
    if (records.has(name))
      throw new StableDiffusionError(
        'file-unsafe',
        `${label} has two records called ${quote(name)}, so that programs may disagree on what it holds.`,
      );
    records.set(name, record);
    at = next;
  }
  if (at !== bytes.length)
    throw corrupt(label, `its directory has ${bytes.length - at} bytes after its ${count} records`);
  return records;
}

/** 32-bit fields with all bits set are stored in the zip64 extra field (id 1), in this order. */
function wideFields(
  label: string,
  name: string,
  extra: DataView,
  narrow: readonly [number, number, number],
): [number, number, number] {
  if (!narrow.includes(0xffffffff)) return [...narrow];
  let at = 0;
  while (at + 4 <= extra.byteLength && extra.getUint16(at, true) !== 1) at += 4 + extra.getUint16(at + 2, true);
  const end = at + 4 <= extra.byteLength ? Math.min(extra.byteLength, at + 4 + extra.getUint16(at + 2, true)) : 0;
  at += 4;
  const read = (value: number): number => {
    if (value !== 0xffffffff) return value;
    if (at + 8 > end) throw corrupt(label, `record ${quote(name)} lacks its zip64 sizes`);
    at += 8;
    return safe(label, extra.getBigUint64(at - 8, true));
  };
  return [read(narrow[0]), read(narrow[1]), read(narrow[2])];
}

function checkSizes(label: string, { name, size, storedSize, deflated }: ZipRecord): void {
  if (!deflated) {
    if (size !== storedSize)
      throw corrupt(label, `record ${quote(name)} is stored, and has two sizes, ${size} and ${storedSize}`);
    return;
  }
  if (size > maximumInflated || (size > freeSize && size > storedSize * maximumRatio)) {
    throw new StableDiffusionError(
      'file-unsafe',
      `${label}: record ${quote(name)} would inflate from ${storedSize} to ${size} bytes. At most ${maximumInflated} bytes and ${maximumRatio} times the stored size are inflated; write the archive again without compression.`,
    );
  }
  // Deflate never lengthens by more than five bytes a block; a longer record hides more than it declares.
  if (storedSize > size + size / 256 + 64)
    throw new StableDiffusionError(
      'file-unsafe',
      `${label}: record ${quote(name)} takes ${storedSize} bytes and declares only ${size} when inflated.`,
    );
}

/**
 * Where the bytes of each record must end: at the header of the next one, or at the directory. The lengths in local headers, which decide
 * where data begins, are not known yet. Throws where records overlap already.
 */
function dataLimits(
  label: string,
  records: ReadonlyMap<string, ZipRecord>,
  directoryStart: number,
): ReadonlyMap<string, number> {
  const ordered = [...records.values()].sort((a, b) => a.headerOffset - b.headerOffset);
  let free = 0;
  const limits = new Map<string, number>();
  for (const [i, record] of ordered.entries()) {
    limits.set(record.name, ordered[i + 1]?.headerOffset ?? directoryStart);
    if (record.headerOffset < free) throw corrupt(label, `record ${quote(record.name)} overlaps the one before it`);
    free = record.headerOffset + headerSize + record.storedSize;
    if (free > directoryStart)
      throw corrupt(label, `record ${quote(record.name)} at byte ${record.headerOffset} does not lie within the file`);
  }
  return limits;
}

function inflate(label: string, record: ZipRecord, stored: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(record.size);
  let done = 0;
  const stream = new Inflate((piece) => {
    if (done + piece.length > record.size) {
      throw new StableDiffusionError(
        'file-unsafe',
        `${label}: record ${quote(record.name)} inflates to more than the ${record.size} bytes that it declares.`,
      );
    }
    bytes.set(piece, done);
    done += piece.length;
  });
  try {
    // Small pieces, for one of them may grow a thousandfold before the sink sees it.
    for (let at = 0; at < stored.length || at === 0; at += 4096)
      stream.push(stored.subarray(at, at + 4096), at + 4096 >= stored.length);
  } catch (cause) {
    if (cause instanceof StableDiffusionError) throw cause;
    throw corrupt(label, `record ${quote(record.name)} cannot be inflated`, cause);
  }
  if (done !== record.size)
    throw corrupt(label, `record ${quote(record.name)} inflates to ${done} bytes, and declares ${record.size}`);
  return bytes;
}

/** PyTorch writes a checksum of 0 if checksums are turned off. */
function checkSum(label: string, record: ZipRecord, bytes: Uint8Array): void {
  if (record.crc !== 0 && crc32(bytes) !== record.crc)
    throw corrupt(label, `record ${quote(record.name)} does not match its checksum`);
}

function decodeName(label: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw corrupt(label, 'the name of a record is not UTF-8', cause);
  }
}

function safe(label: string, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(label, `it declares a size of ${value} bytes`);
  return Number(value);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}

function encrypted(label: string, name: string): StableDiffusionError {
  return new StableDiffusionError(
    'file-unsupported',
    `${label}: record ${quote(name)} is encrypted, and encrypted archives cannot be read.`,
  );
}

function corrupt(label: string, reason: string, cause?: unknown): StableDiffusionError {
  return new StableDiffusionError('file-corrupt', `${label} is a damaged zip archive: ${reason}. Get it again.`, {
    cause,
  });
}
