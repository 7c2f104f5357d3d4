/** Seeds as plain data, for JSON and forms: a number, or decimal digits if a number does not hold the seed exactly. */

import type { Seed } from './seed.ts';

export type PlainSeed = number | string;

const lowest = -(2n ** 63n);
const highest = 2n ** 64n - 1n;

/** Whether a text is a whole number of PyTorch's range, -2^63 to 2^64 - 1. */
export const isSeedText = (text: string): boolean =>
  /^-?\d{1,20}$/.test(text) && BigInt(text) >= lowest && BigInt(text) <= highest;

/** The plain form of a seed. */
export function plainSeed(seed: Seed | string): PlainSeed {
  const value = Number(seed);
  return Number.isSafeInteger(value) ? value : BigInt(seed).toString();
}

/** A plain seed for a generator. */
export const seedOf = (seed: PlainSeed): Seed => (typeof seed === 'number' ? seed : BigInt(seed));

/** The seed of a later picture of a batch. */
export const laterSeed = (seed: PlainSeed, place: number): PlainSeed => plainSeed(BigInt(seed) + BigInt(place));
