/**
 * Hashes of 64 bits, and whether one is near (in Hamming distance) to one that was added before. The bits are four bands of 16; two hashes of
 * distance d agree in one of them but for d/4 bits, so that only the hashes of a few bands are compared (multi-index hashing, Norouzi et al. 2012).
 *
 * 24 bytes a hash: 8 of the hash, and a link in the list of each band.
 */

import { StableDiffusionError } from '../../errors.ts';

const bands = 4;
const bandSize = 2 ** 16;

/** All numbers of 16 bits with at most so many of them set. */
function masks(most: number): number[] {
  const found = [0];
  for (let a = 0; a < 16 && most >= 1; a++) {
    found.push(1 << a);
    for (let b = 0; b < a && most >= 2; b++) found.push((1 << a) | (1 << b));
  }
  return found;
}

function bitCount(value: number): number {
  let v = value - ((value >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return (((v + (v >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}

export class NearHashes {
  readonly #distance: number;
  readonly #most: number;
  readonly #masks: readonly number[];
  readonly #heads = new Int32Array(bands * bandSize).fill(-1);
  #words = new Uint32Array(2 * 1024);
  #links = new Int32Array(bands * 1024);
  #count = 0;

  /** Finds hashes of which at most `distance` (0 to 11) bits differ; keeps `most` of them. */
  constructor(distance: number, most: number) {
    this.#distance = distance;
    this.#most = most;
    this.#masks = masks(Math.floor(distance / bands));
  }

  get count(): number {
    return this.#count;
  }

  /** True where a hash of 16 hexadecimal digits is near to one that was added. */
  has(hash: string): boolean {
    const [high, low] = wordsOf(hash);
    for (let band = 0; band < bands; band++) {
      const value = bandOf(high, low, band);
      for (const mask of this.#masks) {
        let at = this.#heads[band * bandSize + (value ^ mask)] as number;
        while (at >= 0) {
          const [a, b] = [this.#words[2 * at] as number, this.#words[2 * at + 1] as number];
          if (bitCount(a ^ high) + bitCount(b ^ low) <= this.#distance) return true;
          at = this.#links[bands * at + band] as number;
        }
      }
    }
    return false;
  }

  /** Throws `too-large` if it already holds the most hashes. */
  add(hash: string): void {
    if (this.#count >= this.#most)
      throw new StableDiffusionError(
        'too-large',
        `More than ${this.#most} hashes of pictures would be kept in memory, 24 bytes each. Give a greater --max-hashes, or filter parts of the data one by one.`,
      );
    if (this.#count * 2 >= this.#words.length) this.#grow();
    const at = this.#count++;
    const [high, low] = wordsOf(hash);
    this.#words.set([high, low], 2 * at);
    for (let band = 0; band < bands; band++) {
      const head = band * bandSize + bandOf(high, low, band);
      this.#links[bands * at + band] = this.#heads[head] as number;
      this.#heads[head] = at;
    }
  }

  #grow(): void {
    const room = Math.min(this.#most, this.#count * 2);
    const [words, links] = [new Uint32Array(2 * room), new Int32Array(bands * room)];
    words.set(this.#words);
    links.set(this.#links);
    this.#words = words;
    this.#links = links;
  }
}

const wordsOf = (hash: string): [high: number, low: number] => [
  Number.parseInt(hash.slice(0, 8), 16),
  Number.parseInt(hash.slice(8, 16), 16),
];

const bandOf = (high: number, low: number, band: number): number =>
  ((band < 2 ? high : low) >>> (band % 2 === 0 ? 16 : 0)) & 0xffff;
