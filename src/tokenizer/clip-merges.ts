/** The merges that CLIP was trained with, from their compact form (see tools/make-clip-merges.ts). */

import { unzlibSync } from 'fflate';
import { CLIP_MERGES_DATA } from './clip-merges-data.ts';

/** Tokens of the left and right symbol of every merge, in the order of rank. */
export interface MergePairs {
  readonly left: Uint16Array;
  readonly right: Uint16Array;
}

/** All 48,894 merges; some 10 ms. */
export function clipMergePairs(): MergePairs {
  const planes = unzlibSync(Uint8Array.from(atob(CLIP_MERGES_DATA), (character) => character.charCodeAt(0)));
  const count = planes.length / 4;
  const plane = (side: 0 | 1) =>
    Uint16Array.from(
      { length: count },
      (_, i) => (planes[2 * side * count + i] ?? 0) | ((planes[(2 * side + 1) * count + i] ?? 0) << 8),
    );
  return { left: plane(0), right: plane(1) };
}
