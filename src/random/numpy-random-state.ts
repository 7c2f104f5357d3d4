/**
 * NumpyRandomState: numpy's legacy generator (`numpy.random.RandomState`, and `numpy.random.seed` / `randn` / …), number for number.
 * The inpainting script of Stable Diffusion draws its start noise from it; data pipelines of latent-diffusion shuffle with it.
 */

import { StableDiffusionError } from '../errors.ts';
import { elementCount, type Shape, type Tensor, tensor } from '../tensor/tensor.ts';
import { roundedLog } from './rounded-log.ts';
import { MersenneTwister } from './mersenne-twister.ts';
import { type Seed, seedToUint32 } from './seed.ts';

/** The content of numpy's `get_state(legacy=False)`, as plain data. */
export interface NumpyState {
  readonly key: readonly number[];
  readonly pos: number;
  readonly hasGauss: boolean;
  readonly gauss: number;
}

export class NumpyRandomState {
  readonly #source = new MersenneTwister();
  #gauss: number | undefined;

  /** `RandomState(seed)`; the seed lies from 0 to 2^32 - 1. */
  constructor(seed: Seed) {
    this.#source.seed(seedToUint32(seed));
  }

  getState(): NumpyState {
    return {
      key: [...this.#source.words],
      pos: this.#source.position,
      hasGauss: this.#gauss !== undefined,
      gauss: this.#gauss ?? 0,
    };
  }

  /** Restores a state; throws `file-corrupt` where it is not one. */
  setState(state: NumpyState): void {
    if (state.key.length !== 624 || !(state.pos >= 0 && state.pos <= 624)) {
      throw new StableDiffusionError(
        'file-corrupt',
        `A numpy RandomState has 624 words and a position from 0 to 624; ${state.key.length} and ${state.pos} were given.`,
      );
    }
    this.#source.words.set(state.key);
    this.#source.position = state.pos;
    this.#gauss = state.hasGauss ? state.gauss : undefined;
  }

  /** One float64 in [0, 1): `random_sample()`. */
  random(): number {
    return this.#source.res53();
  }

  /** `rand(*shape)`: float64 in [0, 1). */
  rand(shape: Shape): Tensor<'float64'> {
    const data = new Float64Array(elementCount(shape));
    for (let i = 0; i < data.length; i++) data[i] = this.random();
    return tensor('float64', shape, data);
  }

  /** One standard normal, float64, by the polar method (numpy `legacy_gauss`). */
  gauss(): number {
    const waiting = this.#gauss;
    if (waiting !== undefined) {
      this.#gauss = undefined;
      return waiting;
    }
    let x: number;
    let y: number;
    let square: number;
    do {
      x = 2 * this.random() - 1;
      y = 2 * this.random() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square === 0);
    const scale = Math.sqrt((-2 * roundedLog(square)) / square);
    this.#gauss = scale * x;
    return scale * y;
  }

  /** `randn(*shape)`: standard normal, float64. */
  randn(shape: Shape): Tensor<'float64'> {
    const data = new Float64Array(elementCount(shape));
    for (let i = 0; i < data.length; i++) data[i] = this.gauss();
    return tensor('float64', shape, data);
  }

  /** `torch.from_numpy(randn(*shape)).float()`: the start noise of inpaint_st.py. */
  randnFloat32(shape: Shape): Tensor<'float32'> {
    return tensor('float32', shape, Float32Array.from(this.randn(shape).data));
  }

  /** One whole number in [low, high), `randint(low, high)`; the range is at most 2^32. */
  randint(low: number, high: number): number {
    const most = high - low - 1;
    if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || most < 0 || most > 0xffffffff) {
      throw new StableDiffusionError(
        'invalid-argument',
        `randint needs whole numbers low < high at most 2^32 apart, and got [${low}, ${high}).`,
      );
    }
    return low + this.#below(most);
  }

  /** `permutation(n)`: the numbers 0 … n - 1 in random order. */
  permutation(n: number): Uint32Array {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.#below(i);
      const kept = order[i] as number;
      order[i] = order[j] as number;
      order[j] = kept;
    }
    return order;
  }

  /** A whole number from 0 to `most`, both included, by masking and rejection (numpy `random_interval`). */
  #below(most: number): number {
    if (most === 0) return 0;
    const mask = 0xffffffff >>> Math.clz32(most);
    for (;;) {
      const value = (this.#source.uint32() & mask) >>> 0;
      if (value <= most) return value;
    }
  }
}
