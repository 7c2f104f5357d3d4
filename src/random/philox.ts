/**
 * Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), the counter-based generator of cuRAND, and the two
 * ways in which normals are drawn from it here:
 *
 * - `nv`: A1111's `rng_philox.py` (source "NV"): call number in word 0 of the counter, element in word 2, first of the Box–Muller pair.
 * - `cuda`: `torch.randn` on a CUDA device (ATen `distribution_nullary_kernel` with `curand_normal4`). As long as the device has a thread
 *   for every element, its counters are those of `nv`; beyond that a thread continues with the second, third and fourth of its normals,
 *   so that the result depends on the number of multiprocessors. Written from the sources, not compared with a device.
 */

import { StableDiffusionError } from '../errors.ts';
import { elementCount, type Shape, type Tensor, tensor } from '../tensor/tensor.ts';
import { type Seed, seedToUint64 } from './seed.ts';

export interface PhiloxOptions {
  readonly layout?: 'nv' | 'cuda';
  /** Streaming multiprocessors of the device followed by `cuda`, of 2,048 threads each; default 128 (GeForce RTX 4090). */
  readonly multiprocessors?: number;
}

/** Plain data that a generator can be restored from. */
export interface PhiloxState {
  /** Unsigned 64-bit, in decimal. */
  readonly seed: string;
  /** Counters spent. */
  readonly offset: number;
}

export class PhiloxGenerator {
  readonly #layout: 'nv' | 'cuda';
  readonly #threads: number;
  #seed: bigint;
  #offset = 0;

  constructor(seed: Seed, options: PhiloxOptions = {}) {
    this.#seed = seedToUint64(seed);
    this.#layout = options.layout ?? 'nv';
    this.#threads = (options.multiprocessors ?? 128) * 2048;
  }

  get initialSeed(): bigint {
    return this.#seed;
  }

  getState(): PhiloxState {
    return { seed: this.#seed.toString(), offset: this.#offset };
  }

  setState(state: PhiloxState): void {
    if (!Number.isSafeInteger(state.offset) || state.offset < 0) {
      throw new StableDiffusionError(
        'file-corrupt',
        `A Philox generator's offset is a whole number from 0, and ${state.offset} was given.`,
      );
    }
    this.#seed = seedToUint64(BigInt(state.seed));
    this.#offset = state.offset;
  }

  /** The next draw of standard normals, float32. */
  randn(shape: Shape): Tensor<'float32'> {
    const data = new Float32Array(elementCount(shape));
    const keyLow = Number(this.#seed & 0xffffffffn);
    const keyHigh = Number(this.#seed >> 32n);
    const words = new Uint32Array(4);
    if (this.#layout === 'nv') {
      for (let i = 0; i < data.length; i++) {
        philox4x32(words, this.#offset, i, keyLow, keyHigh);
        data[i] = boxMuller(words[0] as number, words[1] as number);
      }
      this.#offset += 1;
    } else this.#offset += this.#drawAsCuda(data, words, keyLow, keyHigh);
    return tensor('float32', shape, data);
  }

  /** Fills `data` as CUDA's grid does; returns how many counters each thread spent. */
  #drawAsCuda(data: Float32Array, words: Uint32Array, keyLow: number, keyHigh: number): number {
    const count = data.length;
    const threads = Math.min(Math.ceil(count / 256) * 256, this.#threads);
    const rounds = Math.ceil(count / (threads * 4));
    for (let round = 0; round < rounds; round++) {
      const start = round * threads * 4;
      for (let thread = 0; thread < threads && start + thread < count; thread++) {
        philox4x32(words, this.#offset + round, thread, keyLow, keyHigh);
        for (let k = 0; k < 4; k++) {
          const at = start + k * threads + thread;
          if (at >= count) break;
          const pair = k & 2;
          data[at] = boxMullerFloat32(words[pair] as number, words[pair + 1] as number, k % 2 === 1);
        }
      }
    }
    return rounds;
  }
}

/** High 32 bits of the product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aHigh = a >>> 16;
  const aLow = a & 0xffff;
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const cross = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(cross / 65536)) >>> 0;
}

/** Ten rounds on the counter (counter, 0, element, 0), into `out`; `counter` may exceed 32 bits. */
function philox4x32(out: Uint32Array, counter: number, element: number, keyLow: number, keyHigh: number): void {
  let c0 = counter >>> 0;
  let c1 = Math.floor(counter / 4294967296) >>> 0;
  let c2 = element >>> 0;
  let c3 = 0;
  let k0 = keyLow;
  let k1 = keyHigh;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(c0, 0xd2511f53);
    const low0 = Math.imul(c0, 0xd2511f53) >>> 0;
    const high1 = multiplyHigh(c2, 0xcd9e8d57);
    const low1 = Math.imul(c2, 0xcd9e8d57) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

const f = Math.fround;
const INVERSE = f(2.3283064e-10);
const INVERSE_TWO_PI = f(2.3283064e-10 * 6.2831855);

/** The sine half of the pair, in double precision as numpy computes it. */
function boxMuller(x: number, y: number): number {
  const u = x * INVERSE + INVERSE / 2;
  const v = y * INVERSE_TWO_PI + INVERSE_TWO_PI / 2;
  return Math.sqrt(-2 * Math.log(u)) * Math.sin(v);
}

/** cuRAND's `_curand_box_muller` in single precision: the sine, or the cosine. */
function boxMullerFloat32(x: number, y: number, cosine: boolean): number {
  const u = f(f(x) * INVERSE + INVERSE / 2);
  const v = f(f(y) * INVERSE_TWO_PI + INVERSE_TWO_PI / 2);
  const radius = f(Math.sqrt(f(-2 * f(Math.log(u)))));
  return radius * f(cosine ? Math.cos(v) : Math.sin(v));
}
