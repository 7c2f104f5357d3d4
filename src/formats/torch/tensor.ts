/**
 * Tensors as PyTorch pickles them: a storage (a run of elements in the file), and a view of it by offset, shape and strides
 * (torch/_utils.py, `_rebuild_tensor_v2`). Geometry is checked when a view is created; its bytes are read on demand.
 */

import { StableDiffusionError } from '../../errors.ts';
import { byteSize, type DType, dtypes } from '../../tensor/dtype.ts';
import { fromBytes, type Tensor } from '../../tensor/tensor.ts';
import { describeValue, type PythonValue, type TorchTensor, type TorchType } from './python-value.ts';
import { boolsAsBits } from '../safetensors.ts';

const unsupported: readonly [string, number][] = [
  ['complex32', 4],
  ['complex64', 8],
  ['complex128', 16],
  ['float8_e4m3fnuz', 1],
  ['float8_e5m2fnuz', 1],
  ['float8_e8m0fnu', 1],
  ['float4_e2m1fn_x2', 1],
  ['qint8', 1],
  ['quint8', 1],
  ['qint32', 4],
  ['quint4x2', 1],
  ['quint2x4', 1],
];

/** Element types by their names in `torch`. */
export const torchTypes: ReadonlyMap<string, TorchType> = new Map([
  ...dtypes.map((dtype): [string, TorchType] => [dtype, { name: dtype, size: byteSize(dtype), dtype }]),
  ...unsupported.map(([name, size]): [string, TorchType] => [name, { name, size, dtype: undefined }]),
]);

/** Bytes without a type: the storage of `_rebuild_tensor_v3`. */
export const untyped: TorchType = { name: 'untyped', size: 1, dtype: undefined };

/** A view larger than this may not be more than `maximumExpansion` times its storage. */
const freeSize = 64 * 2 ** 20;
const maximumExpansion = 1000;
const maximumRank = 64;

/** The view that the arguments of a `_rebuild_tensor` function describe. Throws `file-corrupt` if it leaves its storage. */
export function torchView(
  label: string,
  storage: PythonValue,
  offset: PythonValue,
  shape: PythonValue,
  strides: PythonValue,
  type?: TorchType,
): TorchTensor {
  if (storage === null || typeof storage !== 'object' || !('kind' in storage) || storage.kind !== 'storage') {
    throw corrupt(label, `has ${describeValue(storage)} in place of a storage`);
  }
  const element = type ?? storage.type;
  const sizes = wholeNumbers(label, shape, 'shape');
  const steps = wholeNumbers(label, strides, 'strides');
  const first = wholeNumber(label, offset, 'offset');
  if (sizes.length !== steps.length) throw corrupt(label, `has ${sizes.length} sizes and ${steps.length} strides`);
  const what = `of ${element.name} [${sizes.join(', ')}], strides [${steps.join(', ')}], offset ${first}`;

  const available = BigInt(Math.floor((storage.count * storage.type.size) / element.size));
  let count = 1n;
  let last = BigInt(first);
  for (const [i, size] of sizes.entries()) {
    count *= BigInt(size);
    last += BigInt(size - 1) * BigInt(steps[i] as number);
  }
  if (count > 0n && last >= available) throw corrupt(label, `${what} leaves its storage of ${available} elements`);
  const bytes = count * BigInt(element.size);
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER) || (bytes > freeSize && count > available * BigInt(maximumExpansion))) {
    throw new StableDiffusionError(
      'file-unsafe',
      `${label}: a tensor ${what} would expand ${available} stored elements to ${count}; that is refused.`,
    );
  }
  return { kind: 'tensor', storage, type: element, offset: storage.start + first, shape: sizes, strides: steps };
}

/** The span of its storage that a view touches, in bytes. */
export function viewSpan({ type, offset, shape, strides }: TorchTensor): { offset: number; length: number } {
  let last = 0;
  for (const [i, size] of shape.entries()) {
    if (size === 0) return { offset: 0, length: 0 };
    last += (size - 1) * (strides[i] as number);
  }
  return { offset: offset * type.size, length: (last + 1) * type.size };
}

/** True if the view's elements lie in row-major order without gaps. */
export function isContiguous({ shape, strides }: TorchTensor): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] as number;
    if (size === 0) return true;
    if (size !== 1 && strides[i] !== step) return false;
    step *= size;
  }
  return true;
}

/** The tensor of a view from the bytes of its span, which are taken over. */
export function materialise(view: TorchTensor, dtype: DType, span: Uint8Array, bigEndian: boolean): Tensor {
  const bytes = isContiguous(view) ? span : gather(view, span);
  if (bigEndian) swap(bytes, view.type.size);
  return boolsAsBits(fromBytes(dtype, view.shape, bytes));
}

function gather({ type, shape, strides }: TorchTensor, span: Uint8Array): Uint8Array {
  const source = elements(span, type.size);
  const count = shape.reduce((product, size) => product * size, 1);
  const target = elements(new Uint8Array(count * type.size), type.size);
  const index = shape.map(() => 0);
  let from = 0;
  for (let i = 0; i < count; i++) {
    target[i] = source[from] as number;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const step = strides[axis] as number;
      from += step;
      const next = (index[axis] as number) + 1;
      index[axis] = next;
      if (next < (shape[axis] as number)) break;
      from -= next * step;
      index[axis] = 0;
    }
  }
  return new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
}

/** Elements as numbers that copy bit by bit. Eight-byte elements are BigInt, although the array's type says number. */
function elements(bytes: Uint8Array, size: number): Uint8Array | Uint16Array | Uint32Array {
  if (size === 1) return bytes;
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  if (size === 2) return new Uint16Array(buffer, byteOffset, byteLength / 2);
  if (size === 4) return new Uint32Array(buffer, byteOffset, byteLength / 4);
  return new BigUint64Array(buffer, byteOffset, byteLength / 8) as unknown as Uint32Array;
}

function swap(bytes: Uint8Array, size: number): void {
  for (let at = 0; size > 1 && at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

function wholeNumbers(label: string, value: PythonValue, what: string): number[] {
  if (
    value === null ||
    typeof value !== 'object' ||
    !('kind' in value) ||
    (value.kind !== 'tuple' && value.kind !== 'list')
  ) {
    throw corrupt(label, `has ${describeValue(value)} as its ${what}`);
  }
  if (value.items.length > maximumRank) throw corrupt(label, `has ${value.items.length} numbers as its ${what}`);
  return value.items.map((item) => wholeNumber(label, item, what));
}

/** A whole number from 0 to 2^53. */
export function wholeNumber(label: string, value: PythonValue, what: string): number {
  if (typeof value !== 'number' || value < 0) throw corrupt(label, `has ${describeValue(value)} in its ${what}`);
  return value;
}

function corrupt(label: string, reason: string): StableDiffusionError {
  return new StableDiffusionError(
    'file-corrupt',
    `${label}: a tensor ${reason}. The file is damaged or was not written by PyTorch.`,
  );
}
