/** One record of a zip archive: its bounds, its inflation, its checksum. What would inflate beyond bounds is refused before it is inflated. */

import { Inflate } from 'fflate';
import { StableDiffusionError } from '../errors.ts';
import { crc32 } from './crc32.ts';
import { corrupt, quote } from './zip-errors.ts';

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

/** A deflated record may be this large, and above `freeSize` inflate to this many times its stored size. */
const maximumInflated = 64 * 2 ** 20;
const maximumRatio = 200;
const freeSize = 2 ** 20;

/** Throws where the sizes of a record contradict each other or are those of a zip bomb. */
export function checkSizes(label: string, { name, size, storedSize, deflated }: ZipRecord): void {
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

export function inflate(label: string, record: ZipRecord, stored: Uint8Array): Uint8Array {
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
export function checkSum(label: string, record: ZipRecord, bytes: Uint8Array): void {
  if (record.crc !== 0 && crc32(bytes) !== record.crc)
    throw corrupt(label, `record ${quote(record.name)} does not match its checksum`);
}
