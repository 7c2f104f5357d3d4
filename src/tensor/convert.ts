/** Conversion between element types, with IEEE 754 rounding to nearest even (as PyTorch's `.to(dtype)`). */

import { StableDiffusionError } from '../errors.ts';
import { arrayType, type DataOf, type DType } from './dtype.ts';
import { elementCount, type Tensor, tensor } from './tensor.ts';

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

/** Widens the bits of one float16. */
export function float16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Rounds a float32 value to the bits of the nearest float16, ties to even. A double is rounded to float32 first, as PyTorch does. */
export function numberToFloat16(value: number): number {
  scratchFloat[0] = value;
  const bits = scratchBits[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // rounds to infinity
  if (magnitude < 0x38800000) {
    // Subnormal in float16: the value is a whole number of 2^-24.
    const scaled = Math.abs(scratchFloat[0] as number) * 2 ** 24;
    const floor = Math.floor(scaled);
    const rest = scaled - floor;
    return sign | (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/** Widens the bits of one bfloat16. */
export function bfloat16ToNumber(bits: number): number {
  scratchBits[0] = bits << 16;
  return scratchFloat[0] as number;
}

/** Rounds to the bits of the nearest bfloat16, ties to even. */
export function numberToBfloat16(value: number): number {
  scratchFloat[0] = value;
  const bits = scratchBits[0] as number;
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40; // NaN stays NaN
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Widens the bits of one float8 (E4M3 without infinities). */
export function float8E4m3ToNumber(bits: number): number {
  const sign = bits & 0x80 ? -1 : 1;
  const exponent = (bits >>> 3) & 0xf;
  const fraction = bits & 7;
  if (exponent === 15 && fraction === 7) return Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -9 : sign * (1 + fraction / 8) * 2 ** (exponent - 7);
}

/** Widens the bits of one float8 (E5M2). */
export function float8E5m2ToNumber(bits: number): number {
  return float16ToNumber(bits << 8);
}

let float16Table: Float32Array | undefined;

/** Every float16 as a float32, by its bits: the fast way to widen many. */
function float16Values(): Float32Array {
  if (!float16Table) {
    float16Table = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits++) float16Table[bits] = float16ToNumber(bits);
  }
  return float16Table;
}

const float8Tables = new Map<DType, Float32Array>();

/** Every float8 as a float32, by its bits. */
function float8Values(dtype: 'float8_e4m3fn' | 'float8_e5m2'): Float32Array {
  const known = float8Tables.get(dtype);
  if (known) return known;
  const toNumber = dtype === 'float8_e4m3fn' ? float8E4m3ToNumber : float8E5m2ToNumber;
  const table = Float32Array.from({ length: 256 }, (_, bits) => toNumber(bits));
  float8Tables.set(dtype, table);
  return table;
}

const wordsOf = ({ buffer, byteOffset, length }: Float32Array): Int32Array =>
  new Int32Array(buffer, byteOffset, length);

/** Entries of a table of 65,536 floats, as words: a float would be widened to a double on its way. Four at a time, a fifth faster than one. */
function copyWords(indices: Uint16Array, table: Float32Array, target: Float32Array): void {
  const [from, to] = [wordsOf(table), wordsOf(target)];
  const count = indices.length;
  const fours = count - (count % 4);
  for (let i = 0; i < fours; i += 4) {
    to[i] = from[indices[i] as number] as number;
    to[i + 1] = from[indices[i + 1] as number] as number;
    to[i + 2] = from[indices[i + 2] as number] as number;
    to[i + 3] = from[indices[i + 3] as number] as number;
  }
  for (let i = fours; i < count; i++) to[i] = from[indices[i] as number] as number;
}

/** Widens or narrows `source` into `target`, which has as many elements. */
function widen(dtype: DType, source: DataOf<DType>, target: Float32Array | Float64Array): void {
  const count = source.length;
  switch (dtype) {
    case 'float16': {
      const table = float16Values();
      const bits = source as Uint16Array;
      if (target instanceof Float32Array) copyWords(bits, table, target);
      else for (let i = 0; i < count; i++) target[i] = table[bits[i] as number] as number;
      return;
    }
    case 'bfloat16': {
      if (target instanceof Float32Array) {
        const words = new Uint32Array(target.buffer, target.byteOffset, count);
        const bits = source as Uint16Array;
        for (let i = 0; i < count; i++) words[i] = (bits[i] as number) << 16;
      } else for (let i = 0; i < count; i++) target[i] = bfloat16ToNumber(source[i] as number);
      return;
    }
    case 'float8_e4m3fn':
    case 'float8_e5m2': {
      const table = float8Values(dtype);
      const bits = source as Uint8Array;
      for (let i = 0; i < count; i++) target[i] = table[bits[i] as number] as number;
      return;
    }
    default:
      for (let i = 0; i < count; i++) target[i] = Number(source[i]);
  }
}

/** The values of a tensor as float32, into `target` where one is given (it must hold as many elements). No copy if it is float32 already and no target is given. */
export function toFloat32(value: Tensor, target?: Float32Array): Tensor<'float32'> {
  if (value.dtype === 'float32' && !target) return value as Tensor<'float32'>;
  const data = target ?? new Float32Array(elementCount(value.shape));
  if (value.dtype === 'float32') data.set(value.data as Float32Array);
  else widen(value.dtype, value.data, data);
  return tensor('float32', value.shape, data);
}

/** The values of a tensor in another element type. float8 can be read and not written. */
export function convert<D extends DType>(value: Tensor, dtype: D): Tensor<D> {
  if ((value.dtype as DType) === dtype) return value as Tensor<D>;
  if (dtype === 'float32') return toFloat32(value) as Tensor as Tensor<D>;
  const numbers = new Float64Array(value.data.length);
  widen(value.dtype, value.data, numbers);
  const count = numbers.length;
  const data = new (arrayType<DType>(dtype))(count);
  switch (dtype as DType) {
    case 'float16':
      for (let i = 0; i < count; i++) data[i] = numberToFloat16(numbers[i] as number);
      break;
    case 'bfloat16':
      for (let i = 0; i < count; i++) data[i] = numberToBfloat16(numbers[i] as number);
      break;
    case 'int64':
    case 'uint64':
      for (let i = 0; i < count; i++) data[i] = BigInt(Math.trunc(numbers[i] as number));
      break;
    case 'bool':
      for (let i = 0; i < count; i++) data[i] = numbers[i] === 0 ? 0 : 1;
      break;
    case 'float8_e4m3fn':
    case 'float8_e5m2':
      throw new StableDiffusionError(
        'invalid-argument',
        `Tensors cannot be written as ${dtype}; use float16, bfloat16 or float32.`,
      );
    default:
      for (let i = 0; i < count; i++) data[i] = numbers[i] as number;
  }
  return tensor<DType>(dtype, value.shape, data) as Tensor<D>;
}
