/** Conversion between our tensors and ONNX Runtime's. */

import type { Tensor as OrtTensor, TensorConstructor } from 'onnxruntime-common';
import { StableDiffusionError } from '../errors.ts';
import { arrayType, type DType } from '../tensor/dtype.ts';
import { bytesOf, fromBytes, type Tensor } from '../tensor/tensor.ts';

/** Element types by the runtime's names, which are ours for all that programs use. */
const supported: ReadonlySet<string> = new Set<DType>([
  'float32',
  'float16',
  'float64',
  'int64',
  'int32',
  'uint8',
  'int8',
  'bool',
]);

export function toOrt(OrtTensorClass: TensorConstructor, value: Tensor): OrtTensor {
  if (!supported.has(value.dtype))
    throw new StableDiffusionError('shape-mismatch', `Tensors of ${value.dtype} cannot enter a program.`);
  return new OrtTensorClass(value.dtype as 'float32', value.data as Float32Array, value.shape);
}

/** Copies a tensor out of the runtime's memory. */
export function fromOrt(value: OrtTensor): Tensor {
  if (!supported.has(value.type))
    throw new StableDiffusionError('engine-failed', `The runtime returned a tensor of ${value.type}.`);
  const dtype = value.type as DType;
  const data = value.data as unknown as Uint8Array;
  const bytes = bytesOf({ dtype, shape: value.dims, data: data as never }).slice();
  return fromBytes(dtype, value.dims, bytes.subarray(0, data.length * arrayType(dtype).BYTES_PER_ELEMENT));
}
