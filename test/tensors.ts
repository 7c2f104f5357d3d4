/** Reads a whole .safetensors file for tests: deliberately apart from the library's reader, so that the two check each other. */

import { readFileSync } from 'node:fs';
import type { DType } from '../src/tensor/dtype.ts';
import { fromBytes, type Tensor } from '../src/tensor/tensor.ts';

const names: Readonly<Record<string, DType>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  I32: 'int32',
  I16: 'int16',
  I8: 'int8',
  U64: 'uint64',
  U32: 'uint32',
  U16: 'uint16',
  U8: 'uint8',
  BOOL: 'bool',
  F8_E4M3: 'float8_e4m3fn',
  F8_E5M2: 'float8_e5m2',
};

export type Tensors = ReadonlyMap<string, Tensor>;

export function readTensors(path: string): Tensors {
  const file = readFileSync(path);
  const headerLength = Number(file.readBigUInt64LE(0));
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = JSON.parse(
    file.toString('utf8', 8, 8 + headerLength),
  );
  const tensors = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const {
      dtype,
      shape,
      data_offsets: [start, end],
    } = entry;
    const type = names[dtype];
    if (!type) throw new Error(`${path}: ${name} has dtype ${dtype}`);
    tensors.set(
      name,
      fromBytes(type, shape, new Uint8Array(file.subarray(8 + headerLength + start, 8 + headerLength + end))),
    );
  }
  return tensors;
}

/** The tensor `name`; throws where the file lacks it. */
export function pick(tensors: Tensors, name: string): Tensor {
  const found = tensors.get(name);
  if (!found) throw new Error(`no tensor ${name}; there are ${[...tensors.keys()].slice(0, 20).join(', ')}`);
  return found;
}
