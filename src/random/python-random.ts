/** PythonRandom: CPython's `random.Random(seed)` (Lib/random.py, Modules/_randommodule.c), number for number, for scripts that draw from it. */

import { StableDiffusionError } from '../errors.ts';
import { MersenneTwister } from './mersenne-twister.ts';
import { type Seed, seedWords } from './seed.ts';

/** The 624 words and the position of `random.getstate()[1]`. */
export interface PythonRandomState {
  readonly words: readonly number[];
  readonly position: number;
}

export class PythonRandom {
  readonly #source = new MersenneTwister();

  /** `random.seed(seed)` with a whole number of any size, whose sign is dropped. */
  constructor(seed: Seed) {
    this.#source.seedWithWords(seedWords(seed < 0 ? -seed : seed));
  }

  getState(): PythonRandomState {
    return { words: [...this.#source.words], position: this.#source.position };
  }

  /** Restores a state; throws `file-corrupt` where it is not one. */
  setState(state: PythonRandomState): void {
    if (state.words.length !== 624 || !(state.position >= 0 && state.position <= 624)) {
      throw new StableDiffusionError(
        'file-corrupt',
        `A Python random state has 624 words and a position from 0 to 624; ${state.words.length} and ${state.position} were given.`,
      );
    }
    this.#source.words.set(state.words);
    this.#source.position = state.position;
  }

  /** `random.random()`: a float64 in [0, 1). */
  random(): number {
    return this.#source.res53();
  }

  /** `random.uniform(low, high)`. */
  uniform(low: number, high: number): number {
    return low + (high - low) * this.random();
  }

  /** `random.getrandbits(count)` for 1 to 53 bits. */
  randomBits(count: number): number {
    if (!(count >= 1 && count <= 53))
      throw new StableDiffusionError(
        'invalid-argument',
        `randomBits returns 1 to 53 bits, got a request for ${count}.`,
      );
    if (count <= 32) return this.#source.uint32() >>> (32 - count);
    const low = this.#source.uint32();
    return (this.#source.uint32() >>> (64 - count)) * 4294967296 + low;
  }

  /** `random.randint(low, high)`: a whole number from low to high, both included, less than 2^53 apart. */
  randint(low: number, high: number): number {
    const range = high - low + 1;
    if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || range < 1 || range > Number.MAX_SAFE_INTEGER) {
      throw new StableDiffusionError(
        'invalid-argument',
        `randint needs whole numbers low <= high, and got ${low} and ${high}.`,
      );
    }
    return low + this.#below(range);
  }

  /** `random.choice(items)`; throws `invalid-argument` for an empty list. */
  choice<T>(items: readonly T[]): T {
    if (items.length === 0) throw new StableDiffusionError('invalid-argument', 'choice needs at least one item.');
    return items[this.#below(items.length)] as T;
  }

  /** `random.shuffle(items)`, in place. */
  shuffle<T>(items: T[]): void {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.#below(i + 1);
      [items[i], items[j]] = [items[j] as T, items[i] as T];
    }
  }

  /** `_randbelow_with_getrandbits`: draws of as many bits as the range has, until one is below it. */
  #below(range: number): number {
    const bits = range.toString(2).length;
    for (;;) {
      const value = this.randomBits(bits);
      if (value < range) return value;
    }
  }
}
