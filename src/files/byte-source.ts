/**
 * ByteSource: random access to the bytes of one file. The only way the readers touch a file, so that they run over a file on disk
 * (`byte-source-node.ts`), a `Blob` a person dropped on a page (`byte-source-web.ts`), or bytes in memory.
 */

import { StableDiffusionError } from '../errors.ts';

/** Identity of a file (stat(2)). */
export interface FileIdentity {
  readonly device: number;
  readonly inode: number;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
}

export interface ByteSource {
  /** File name or phrase, for messages. */
  readonly label: string;
  /** Real path on this machine, behind all links, where it is a file there. */
  readonly path?: string;
  /** Identity to compare the file at `path` with before another program reads it. */
  readonly identity?: FileIdentity;
  readonly size: number;
  /** Every read is a request over the network: readers keep them few. */
  readonly remote?: boolean;
  /** Exactly `length` bytes from `offset`. Throws `file-truncated` if the file is shorter. The caller owns the bytes. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Throws `file-truncated`, by name, if the range does not lie in the file. */
export function checkRange(
  source: { readonly label: string; readonly size: number },
  offset: number,
  length: number,
): void {
  if (
    !Number.isSafeInteger(offset) ||
    !Number.isSafeInteger(length) ||
    offset < 0 ||
    length < 0 ||
    offset + length > source.size
  ) {
    throw new StableDiffusionError(
      'file-truncated',
      `${source.label}: needs ${length} bytes at offset ${offset}, but the file has ${source.size} bytes. It is truncated or corrupt; obtain it again.`,
    );
  }
}

/** A ByteSource over bytes in memory. */
export function memoryBytes(bytes: Uint8Array, label = 'bytes in memory'): ByteSource {
  return {
    label,
    size: bytes.length,
    async read(offset, length) {
      checkRange(this, offset, length);
      return bytes.slice(offset, offset + length);
    },
    async close() {},
  };
}
