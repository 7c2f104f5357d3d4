/** The pictures of a folder that a rank has: every so-many-th block of files. */

import type { Communicator } from '../../distributed/communicator.ts';

/** What `read` gives beyond the last picture of a set whose number is not known. */
export const beyondEnd = Symbol('beyond the end');

/** A picture and its place among those that can be used. */
export interface PlacedPicture<T> {
  readonly picture: T;
  readonly place: number;
}

const flagOf = (picture: unknown): number => (picture === beyondEnd ? 2 : picture === undefined ? 0 : 1);

/**
 * The pictures of this rank, in blocks of `atOnce`. `read` gives one by its number, or undefined where it cannot be used; then the ranks
 * tell each other, so that the first `count` that can be used are the same as in one process. Of an unknown number of files (Infinity) `read`
 * gives `beyondEnd` after the last.
 */
export async function* picturesOfRank<T>(
  ranks: Communicator,
  { files, count, atOnce }: { readonly files: number; readonly count: number; readonly atOnce: number },
  read: (index: number) => Promise<T | undefined | typeof beyondEnd>,
): AsyncGenerator<readonly PlacedPicture<T>[], void, void> {
  let place = 0;
  for (let from = 0; from < files && place < count; from += atOnce * ranks.size) {
    const first = from + ranks.rank * atOnce;
    const pictures: (T | undefined | typeof beyondEnd)[] = [];
    for (let i = first; i < first + atOnce; i++) pictures.push(i < files ? await read(i) : undefined);
    const flags = await ranks.allGather(Uint8Array.from(pictures, flagOf));
    const own: PlacedPicture<T>[] = [];
    for (const [i, flag] of flags.entries()) {
      if (flag !== 1 || place >= count) continue;
      const picture = pictures[i - ranks.rank * atOnce];
      if (picture !== undefined && picture !== beyondEnd && i >= ranks.rank * atOnce) own.push({ picture, place });
      place++;
    }
    if (own.length > 0) yield own;
    if (flags.includes(2)) return;
  }
}
