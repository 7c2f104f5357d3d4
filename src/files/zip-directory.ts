/** The directory at the end of a zip archive (PKWARE APPNOTE 6.3.10, sections 4.3.12 to 4.3.16). It must fit the file exactly. */

import { StableDiffusionError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { corrupt, decodeName, encrypted, quote, safe, viewOf } from './zip-errors.ts';
import { checkSizes, type ZipRecord } from './zip-record.ts';

/** Bytes of a local header before its name. */
export const headerSize = 30;
const endSize = 22;
const end64Size = 56;
const locatorSize = 20;
const entrySize = 46;
const maximumDirectory = 64 * 2 ** 20;

/** Where the directory lies, and how many records it lists. */
export async function findDirectory(source: ByteSource): Promise<{ start: number; size: number; count: number }> {
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

/** The records of a directory, by name, in its order. */
export function parseDirectory(label: string, bytes: Uint8Array, count: number): Map<string, ZipRecord> {
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

/**
 * Where the bytes of each record must end: at the header of the next one, or at the directory. The lengths in local headers, which decide
 * where data begins, are not known yet. Throws where records overlap already.
 */
export function dataLimits(
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
