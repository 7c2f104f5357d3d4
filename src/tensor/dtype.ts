/**
 * Element types of tensors, and the typed array each is stored in.
 *
 * Types JavaScript has no number for are kept as their bits: float16 and bfloat16 in Uint16Array, float8 in Uint8Array.
 */

interface ArrayOf {
  float64: Float64Array;
  float32: Float32Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  float8_e4m3fn: Uint8Array;
  float8_e5m2: Uint8Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int8: Int8Array;
  uint8: Uint8Array;
  bool: Uint8Array;
}

export type DType = keyof ArrayOf;

/** The typed array that holds elements of `D`. */
export type DataOf<D extends DType> = ArrayOf[D];

/** The constructor of an element type's array, with its size. */
export interface ArrayType<D extends DType> {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): DataOf<D>;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): DataOf<D>;
}

const arrayTypes: { readonly [D in DType]: ArrayType<D> } = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  float8_e4m3fn: Uint8Array,
  float8_e5m2: Uint8Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

export const dtypes = Object.keys(arrayTypes) as readonly DType[];

/** Element types of floating-point numbers. */
export const floatDTypes: ReadonlySet<DType> = new Set([
  'float64',
  'float32',
  'float16',
  'bfloat16',
  'float8_e4m3fn',
  'float8_e5m2',
]);

export function arrayType<D extends DType>(dtype: D): ArrayType<D> {
  return arrayTypes[dtype];
}

/** Bytes of one element. */
export function byteSize(dtype: DType): number {
  return arrayTypes[dtype].BYTES_PER_ELEMENT;
}
