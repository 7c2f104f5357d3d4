/** numpy's `default_rng(seed)`: PCG64 (O'Neill 2014; PCG XSL RR 128/64), seeded through SeedSequence. */

import { seedSequence } from './seed-sequence.ts';
import type { Seed } from './seed.ts';

const multiplier = (2549297995355413924n << 64n) | 4865540595714422341n;
const [mask64, mask128] = [2n ** 64n - 1n, 2n ** 128n - 1n];

/** `default_rng(seed).random()`: uniform numbers of 53 bits in [0, 1), one at each call. */
export function pcg64(seed: Seed): () => number {
  const words = Array.from(seedSequence(seed, [], 4, 8), BigInt);
  const word64 = (i: number): bigint => (words[2 * i] as bigint) | ((words[2 * i + 1] as bigint) << 32n);
  const increment = ((((word64(2) << 64n) | word64(3)) << 1n) | 1n) & mask128;
  let state = increment;
  const step = (): void => {
    state = (state * multiplier + increment) & mask128;
  };
  state = (state + ((word64(0) << 64n) | word64(1))) & mask128;
  step();
  return () => {
    step();
    const mixed = (state >> 64n) ^ (state & mask64);
    const turn = state >> 122n;
    const next = ((mixed >> turn) | (mixed << (64n - turn))) & mask64;
    return Number(next >> 11n) * 2 ** -53;
  };
}
