/** Bytes of pictures that each caller stored within the last day: one caller does not fill the disk. */

import { StableDiffusionError } from '../../errors.ts';

export interface StorageQuota {
  /** Throws `busy` with scope `caller` beyond the limit. */
  charge(owner: string, bytes: number): void;
}

/** A file takes at least a block of the disk, however short it is, and so does each folder. */
const block = 4096;

/** Bytes that a file takes on the disk, with the folders of its path. */
export const spaceOf = (bytes: number, path = ''): number =>
  Math.max(block, bytes) + block * (path.split('/').length - 1);

const day = 24 * 3600 * 1000;

export function createStorageQuota(perDay: number, now: () => number): StorageQuota {
  const callers = new Map<string, { since: number; bytes: number }>();
  return {
    charge(owner, bytes) {
      const known = callers.get(owner);
      const own = known && now() - known.since < day ? known : { since: now(), bytes: 0 };
      callers.set(owner, own);
      if (own.bytes + bytes > perDay)
        throw new StableDiffusionError(
          'busy',
          `You have stored ${own.bytes} bytes of pictures within a day, and ${perDay} are allowed. Try again later.`,
          { details: { scope: 'caller' } },
        );
      own.bytes += bytes;
    },
  };
}
