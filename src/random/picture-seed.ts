/** Seeds of the pictures of one set: distinct for each index, and unrelated for other seeds of the set. */

/** A permutation of the 32-bit numbers (MurmurHash3's finaliser). */
function mixed(value: number): number {
  let hash = value >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The seed of picture `index`, from 0, in a set of `seed`: below 2^32, another one for each index below 2^32. */
export function pictureSeed(seed: number, index: number): number {
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  return mixed((mixed((seed >>> 0) ^ mixed(high)) + index) >>> 0);
}
