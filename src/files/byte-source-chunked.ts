/** A ByteSource that reads large pieces and caches the last ones: hundreds of small tensors at a URL become a few dozen requests. */

import { type ByteSource, checkRange } from './byte-source.ts';

export interface ChunkOptions {
  /** Bytes of a piece. Default 4 MiB. */
  readonly chunkBytes?: number;
  /** Pieces kept in memory. Default 8. */
  readonly kept?: number;
}

/** `source` through pieces; reads of a piece's size and more go straight to it. Closes with it. */
export function chunkedBytes(
  source: ByteSource,
  { chunkBytes = 4 * 2 ** 20, kept = 8 }: ChunkOptions = {},
): ByteSource {
  // In the order of last use.
  const pieces = new Map<number, Promise<Uint8Array>>();
  const piece = (index: number): Promise<Uint8Array> => {
    const start = index * chunkBytes;
    const found = pieces.get(index) ?? source.read(start, Math.min(chunkBytes, source.size - start));
    pieces.delete(index);
    pieces.set(index, found);
    found.catch(() => pieces.delete(index));
    const [oldest] = pieces.keys();
    if (pieces.size > kept && oldest !== undefined) pieces.delete(oldest);
    return found;
  };
  return {
    ...source,
    async read(offset, length) {
      checkRange(source, offset, length);
      if (length >= chunkBytes) return source.read(offset, length);
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const index = Math.floor((offset + done) / chunkBytes);
        const from = offset + done - index * chunkBytes;
        const part = (await piece(index)).subarray(from, from + length - done);
        bytes.set(part, done);
        done += part.length;
      }
      return bytes;
    },
    async close() {
      pieces.clear();
      await source.close();
    },
  };
}
