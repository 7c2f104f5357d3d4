/**
 * MT19937 (Matsumoto and Nishimura 1998, with the initialisation of 2002): the 32-bit source under PyTorch's CPU generator,
 * numpy's RandomState and Python's `random`. Those differ in how they seed it and in what they make of its words.
 */

const SIZE = 624;
const SHIFT = 397;

export class MersenneTwister {
  /** The 624 words of state. */
  readonly words = new Uint32Array(SIZE);
  /** Words of this block already drawn, 0 … 624; at 624 the next draw makes a new block. */
  position = SIZE;

  /** `init_genrand`: one 32-bit seed. */
  seed(seed: number): void {
    const words = this.words;
    let word = seed >>> 0;
    words[0] = word;
    for (let i = 1; i < SIZE; i++) {
      word = (Math.imul(1812433253, word ^ (word >>> 30)) + i) >>> 0;
      words[i] = word;
    }
    this.position = SIZE;
  }

  /** `init_by_array`: any number of 32-bit words. */
  seedWithWords(key: readonly number[]): void {
    this.seed(19650218);
    const words = this.words;
    let i = 1;
    let j = 0;
    for (let k = Math.max(SIZE, key.length); k > 0; k--) {
      const previous = words[i - 1] as number;
      words[i] = ((words[i] as number) ^ Math.imul(previous ^ (previous >>> 30), 1664525)) + (key[j] as number) + j;
      if (++i >= SIZE) {
        words[0] = words[SIZE - 1] as number;
        i = 1;
      }
      if (++j >= key.length) j = 0;
    }
    for (let k = SIZE - 1; k > 0; k--) {
      const previous = words[i - 1] as number;
      words[i] = ((words[i] as number) ^ Math.imul(previous ^ (previous >>> 30), 1566083941)) - i;
      if (++i >= SIZE) {
        words[0] = words[SIZE - 1] as number;
        i = 1;
      }
    }
    words[0] = 0x80000000;
  }

  /** The next 32 bits, 0 … 2^32 - 1. */
  uint32(): number {
    if (this.position >= SIZE) this.#twist();
    let word = this.words[this.position++] as number;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  /** A double in [0, 1) of 53 random bits from two words (`genrand_res53`: Python and numpy; PyTorch takes them otherwise). */
  res53(): number {
    const high = this.uint32() >>> 5;
    const low = this.uint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  #twist(): void {
    const words = this.words;
    for (let i = 0; i < SIZE; i++) {
      const joined = ((words[i] as number) & 0x80000000) | ((words[i + 1 < SIZE ? i + 1 : 0] as number) & 0x7fffffff);
      const far = words[i + SHIFT < SIZE ? i + SHIFT : i + SHIFT - SIZE] as number;
      words[i] = far ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    this.position = 0;
  }
}
