/**
 * TorchGenerator: PyTorch's CPU generator (`torch.Generator`, ATen CPUGeneratorImpl) and the draws made from it, number for number.
 *
 * Verified against PyTorch 2.13. float32 normals are bit-equal to those of an x86 build; see `box-muller.ts` for the other form.
 */

import { convert, numberToBfloat16, numberToFloat16 } from '../tensor/convert.ts';
import { StableDiffusionError } from '../errors.ts';
import { elementCount, type Shape, type Tensor, tensor } from '../tensor/tensor.ts';
import { type CpuCapability, normalFill16, normalFill16Float64 } from './box-muller.ts';
import { inRowMajorOrder } from './memory-order.ts';
import { MersenneTwister } from './mersenne-twister.ts';
import { type Seed, seedToUint64 } from './seed.ts';
import { decodeTorchState, encodeTorchState } from './torch-generator-state.ts';

/** Element types of normals. Each has a separate stream: float16 differs from rounded float32 if the count is not a multiple of 16. */
export type NormalDType = 'float64' | 'float32' | 'float16' | 'bfloat16';

export interface TorchGeneratorOptions {
  /** PyTorch's float32 normal transform to follow. Default `avx2`. */
  readonly capability?: CpuCapability;
}

const UINT32 = 4294967296;
const TWO_POW_MINUS_24 = 2 ** -24;
const TWO_POW_MINUS_53 = 2 ** -53;

export class TorchGenerator {
  readonly #source = new MersenneTwister();
  readonly #capability: CpuCapability;
  #initialSeed = 0n;
  /** Second value of the last Box–Muller pair of a draw of fewer than 16 elements; the next such draw, of any element type, starts with it. */
  #cachedNormal: number | undefined;

  /** `torch.Generator().manual_seed(seed)`. Only the low 32 bits of the seed matter, so 5 and 2^32 + 5 give the same numbers. */
  constructor(seed: Seed, options: TorchGeneratorOptions = {}) {
    this.#capability = options.capability ?? 'avx2';
    this.manualSeed(seed);
  }

  /** Restarts the generator from a seed, -2^63 to 2^64 - 1. */
  manualSeed(seed: Seed): void {
    this.#initialSeed = seedToUint64(seed);
    this.#source.seed(Number(this.#initialSeed & 0xffffffffn));
    this.#cachedNormal = undefined;
  }

  /** The seed last given, as an unsigned 64-bit number. */
  get initialSeed(): bigint {
    return this.#initialSeed;
  }

  /** The whole state in the 5,056 bytes of PyTorch's `generator.get_state()`. */
  getState(): Uint8Array {
    return encodeTorchState({
      seed: this.#initialSeed,
      words: this.#source.words,
      position: this.#source.position,
      cachedNormal: this.#cachedNormal,
    });
  }

  /** Restores a state of `getState`, or of PyTorch's `get_state` / `get_rng_state` on the CPU. Throws `file-corrupt` for other bytes. */
  setState(bytes: Uint8Array): void {
    const state = decodeTorchState(bytes);
    this.#initialSeed = state.seed;
    this.#source.words.set(state.words);
    this.#source.position = state.position;
    this.#cachedNormal = state.cachedNormal;
  }

  /** A second generator that continues from the same state. */
  clone(): TorchGenerator {
    const copy = new TorchGenerator(0, { capability: this.#capability });
    copy.setState(this.getState());
    return copy;
  }

  /** The next 32 random bits. */
  uint32(): number {
    return this.#source.uint32();
  }

  /** The next 64 random bits: two words, the first one high. */
  uint64(): bigint {
    const high = BigInt(this.#source.uint32());
    return (high << 32n) | BigInt(this.#source.uint32());
  }

  /** One float32 in [0, 1), as an element of `torch.rand`. */
  uniform(): number {
    return (this.#source.uint32() & 0xffffff) * TWO_POW_MINUS_24;
  }

  /** One float64 in [0, 1), as an element of `torch.rand(dtype=float64)`. */
  uniformFloat64(): number {
    const high = this.#source.uint32() & 0x1fffff;
    return (high * UINT32 + this.#source.uint32()) * TWO_POW_MINUS_53;
  }

  /** `torch.rand` stretched to [low, high), as `tensor.uniform_(low, high)`: float32. */
  rand(shape: Shape, low = 0, high = 1): Tensor<'float32'> {
    const f = Math.fround;
    const from = f(low);
    const range = f(f(high) - from);
    const data = new Float32Array(elementCount(shape));
    for (let i = 0; i < data.length; i++) {
      const value = f(this.uniform() * range + from); // one fused multiply-add in PyTorch's builds
      data[i] = value === f(high) ? from : value;
    }
    return tensor('float32', shape, data);
  }

  /** `torch.rand(shape, dtype=float64)`, stretched to [low, high). */
  randFloat64(shape: Shape, low = 0, high = 1): Tensor<'float64'> {
    const data = new Float64Array(elementCount(shape));
    for (let i = 0; i < data.length; i++) {
      const value = this.uniformFloat64() * (high - low) + low;
      data[i] = value === high ? low : value;
    }
    return tensor('float64', shape, data);
  }

  /** `torch.randn(shape)`: standard normal, float32. */
  randn(shape: Shape): Tensor<'float32'> {
    return this.normal(shape);
  }

  /** `torch.normal(mean, std, shape)`: float32. */
  normal(shape: Shape, mean = 0, std = 1): Tensor<'float32'> {
    const data = new Float32Array(elementCount(shape));
    if (data.length < 16) this.#fillSerially(data, mean, std);
    else {
      for (let i = 0; i < data.length; i++) data[i] = this.uniform();
      for (let i = 0; i + 16 <= data.length; i += 16) normalFill16(data, i, mean, std, this.#capability);
      if (data.length % 16 !== 0) {
        // PyTorch draws the last sixteen again, over what the last whole block left there.
        const tail = data.length - 16;
        for (let i = tail; i < data.length; i++) data[i] = this.uniform();
        normalFill16(data, tail, mean, std, this.#capability);
      }
    }
    return tensor('float32', shape, data);
  }

  /** `torch.randn(shape, dtype=dtype)`, in that element type's own stream. */
  randnOf<D extends NormalDType>(dtype: D, shape: Shape): Tensor<D> {
    if (dtype === 'float32') return this.normal(shape) as Tensor<NormalDType> as Tensor<D>;
    const values =
      dtype === 'float64'
        ? this.#normalFloat64(shape)
        : this.#normalHalf(
            shape,
            dtype === 'float16' ? numberToFloat16 : numberToBfloat16,
            dtype as 'float16' | 'bfloat16',
          );
    return values as Tensor<NormalDType> as Tensor<D>;
  }

  /** `randnOf(dtype)` widened to float32: how a float16 model's noise looks to a float32 sampler. */
  randnAs(dtype: NormalDType, shape: Shape): Tensor<'float32'> {
    return convert(this.randnOf(dtype, shape), 'float32');
  }

  /**
   * `torch.randn_like(x)` of a dense `x` that is not contiguous: drawn one by one in the order of memory, never in blocks.
   * `order` names the dimensions from the outermost in memory to the innermost: [0, 2, 3, 1] for channels last. The result is row-major.
   */
  randnLikePermuted(shape: Shape, order: readonly number[]): Tensor<'float32'> {
    if ([...order].sort((a, b) => a - b).join() !== [...shape.keys()].join()) {
      throw new StableDiffusionError(
        'invalid-argument',
        `The order [${order.join(', ')}] does not name each of the ${shape.length} dimensions once.`,
      );
    }
    // A dimension of size 1 does not make a tensor non-contiguous.
    const real = order.filter((dimension) => shape[dimension] !== 1);
    if (real.every((dimension, i) => i === 0 || dimension > (real[i - 1] as number))) return this.randn(shape);
    const drawn = new Float32Array(elementCount(shape));
    this.#fillSerially(drawn, 0, 1);
    return tensor('float32', shape, inRowMajorOrder(drawn, shape, order));
  }

  /** `torch.randint(low, high, shape)`: whole numbers in [low, high). Throws `invalid-argument` for an empty range. */
  randint(low: number | bigint, high: number | bigint, shape: Shape): Tensor<'int64'> {
    const base = BigInt(low);
    const range = BigInt(high) - base;
    if (range <= 0n)
      throw new StableDiffusionError('invalid-argument', `randint needs low < high, and got [${low}, ${high}).`);
    const data = new BigInt64Array(elementCount(shape));
    // From 2^28 on PyTorch uses 64 bits per number, to reduce the bias of the modulus.
    const wide = range >= 2n ** 28n;
    const narrow = Number(range);
    for (let i = 0; i < data.length; i++)
      data[i] = base + (wide ? this.uint64() % range : BigInt(this.uint32() % narrow));
    return tensor('int64', shape, data);
  }

  /** One whole number in [low, high): `torch.randint(low, high, ()).item()`. The bounds must be safe integers. */
  integer(low: number, high: number): number {
    if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || low >= high) {
      throw new StableDiffusionError(
        'invalid-argument',
        `integer needs whole numbers low < high, and got [${low}, ${high}).`,
      );
    }
    const range = high - low;
    return low + (range >= 2 ** 28 ? Number(this.uint64() % BigInt(range)) : this.uint32() % range);
  }

  /** `torch.randperm(n)`: the numbers 0 … n - 1 in random order; n at most 214,748,363. */
  randperm(n: number): Uint32Array {
    if (!Number.isInteger(n) || n < 0 || n >= 214748364) {
      throw new StableDiffusionError(
        'invalid-argument',
        `randperm needs a whole number from 0 to 214748363, and got ${n}.`,
      );
    }
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < n - 1; i++) {
      const j = i + (this.uint32() % (n - i));
      const kept = order[i] as number;
      order[i] = order[j] as number;
      order[j] = kept;
    }
    return order;
  }

  /** `torch.empty(shape).bernoulli_(p)`: 1 with probability p, else 0, as float32. */
  bernoulli(p: number, shape: Shape): Tensor<'float32'> {
    if (!(p >= 0 && p <= 1))
      throw new StableDiffusionError('invalid-argument', `A probability lies from 0 to 1, and ${p} was given.`);
    const data = new Float32Array(elementCount(shape));
    for (let i = 0; i < data.length; i++) data[i] = this.uniformFloat64() < p ? 1 : 0;
    return tensor('float32', shape, data);
  }

  /** One normal in double precision, from the cache or a new pair (`at::normal_distribution<double>`). */
  #nextNormal(): number {
    const cached = this.#cachedNormal;
    if (cached !== undefined) {
      this.#cachedNormal = undefined;
      return cached;
    }
    const u1 = this.uniformFloat64();
    const u2 = this.uniformFloat64();
    const radius = Math.sqrt(-2 * Math.log1p(-u2));
    const theta = 2 * Math.PI * u1;
    this.#cachedNormal = radius * Math.sin(theta);
    return radius * Math.cos(theta);
  }

  #fillSerially(data: Float32Array | Float64Array, mean: number, std: number): void {
    for (let i = 0; i < data.length; i++) data[i] = this.#nextNormal() * std + mean;
  }

  #normalFloat64(shape: Shape): Tensor<'float64'> {
    const data = new Float64Array(elementCount(shape));
    if (data.length < 16) this.#fillSerially(data, 0, 1);
    else {
      for (let i = 0; i < data.length; i++) data[i] = this.uniformFloat64();
      for (let i = 0; i + 16 <= data.length; i += 16) normalFill16Float64(data, i, 0, 1);
      if (data.length % 16 !== 0) {
        const tail = data.length - 16;
        for (let i = tail; i < data.length; i++) data[i] = this.uniformFloat64();
        normalFill16Float64(data, tail, 0, 1);
      }
    }
    return tensor('float64', shape, data);
  }

  /** float16 and bfloat16: float32 blocks of sixteen, rounded; unlike float32, no uniforms are drawn for a tail and thrown away. */
  #normalHalf<D extends 'float16' | 'bfloat16'>(shape: Shape, round: (value: number) => number, dtype: D): Tensor<D> {
    const count = elementCount(shape);
    const data = new Uint16Array(count);
    if (count < 16) for (let i = 0; i < count; i++) data[i] = round(this.#nextNormal());
    else {
      const block = new Float32Array(16);
      const fill = (start: number): void => {
        for (let j = 0; j < 16; j++) block[j] = this.uniform();
        normalFill16(block, 0, 0, 1, this.#capability);
        for (let j = 0; j < 16; j++) data[start + j] = round(block[j] as number);
      };
      for (let i = 0; i + 16 <= count; i += 16) fill(i);
      if (count % 16 !== 0) fill(count - 16);
    }
    return tensor<'float16' | 'bfloat16'>(dtype, shape, data) as Tensor<D>;
  }
}

/** Standard normal noise of a shape from a seed, float32: `torch.randn(shape, generator=torch.Generator().manual_seed(seed))`. */
export function normalNoise(shape: Shape, seed: Seed): Tensor<'float32'> {
  return new TorchGenerator(seed).randn(shape);
}
