/** Seed: a whole number in the range of PyTorch's `manual_seed`, given as a number (when safe) or a bigint. */

import { StableDiffusionError } from '../errors.ts';

/** From -2^63 to 2^64 - 1; a negative seed means that plus 2^64, as in PyTorch. A `number` must be a safe integer. */
export type Seed = number | bigint;

const lowest = -(2n ** 63n);
const highest = 2n ** 64n - 1n;

/** The seed as PyTorch holds it, an unsigned 64-bit number. Throws `invalid-argument` for fractions and seeds out of range. */
export function seedToUint64(seed: Seed): bigint {
  if (typeof seed === 'number' && !Number.isSafeInteger(seed)) {
    throw new StableDiffusionError(
      'invalid-argument',
      `A seed must be a whole number, got ${seed}, which a number cannot represent exactly. Use a bigint above 2^53.`,
    );
  }
  const value = BigInt(seed);
  if (value < lowest || value > highest) {
    throw new StableDiffusionError(
      'invalid-argument',
      `The seed ${value} is outside the range from -2^63 to 2^64 - 1.`,
    );
  }
  return BigInt.asUintN(64, value);
}

/** `seed + offset`, for the images of a batch. */
export function offsetSeed(seed: Seed, offset: Seed): Seed {
  return BigInt(seed) + BigInt(offset);
}

/** A seed that must fit in 32 bits (numpy's `RandomState`, `seed_everything`). Throws `invalid-argument` otherwise. */
export function seedToUint32(seed: Seed): number {
  const value = Number(seed);
  if (!Number.isSafeInteger(value) || value < 0 || value > 0xffffffff) {
    throw new StableDiffusionError(
      'invalid-argument',
      `The seed ${seed} is not a whole number from 0 to 2^32 - 1, which this generator needs.`,
    );
  }
  return value;
}

/** The 32-bit words of a non-negative whole number, lowest first, at least one; as CPython and numpy split an integer seed. */
export function seedWords(seed: Seed): number[] {
  if (typeof seed === 'number' && !Number.isSafeInteger(seed)) {
    throw new StableDiffusionError(
      'invalid-argument',
      `A seed must be a whole number, got ${seed}, which a number cannot represent exactly. Use a bigint above 2^53.`,
    );
  }
  let rest = BigInt(seed);
  if (rest < 0n)
    throw new StableDiffusionError(
      'invalid-argument',
      `The seed ${rest} is negative, and this generator takes none below 0.`,
    );
  const words: number[] = [];
  do {
    words.push(Number(rest & 0xffffffffn));
    rest >>= 32n;
  } while (rest > 0n);
  return words;
}
