/** NumPy's array files (`.npy`, format 1 to 3): numbers in either byte order, in C or Fortran order. Objects, which are pickles, are refused. */

import { StableDiffusionError } from '../errors.ts';
import { byteSize, type DType } from '../tensor/dtype.ts';
import { bytesOf, elementCount, fromBytes, type Tensor } from '../tensor/tensor.ts';

const types: Readonly<Record<string, DType>> = {
  f8: 'float64',
  f4: 'float32',
  f2: 'float16',
  i8: 'int64',
  i4: 'int32',
  i2: 'int16',
  i1: 'int8',
  u8: 'uint64',
  u4: 'uint32',
  u2: 'uint16',
  u1: 'uint8',
  b1: 'bool',
};
const names: ReadonlyMap<DType, string> = new Map(Object.entries(types).map(([name, dtype]) => [dtype, name]));

const broken = (label: string, why: string): StableDiffusionError =>
  new StableDiffusionError('file-corrupt', `${label} is not a NumPy array that can be read: ${why}.`);

interface Header {
  readonly type: string;
  readonly fortran: boolean;
  readonly shape: readonly number[];
  /** Offset of the numbers. */
  readonly start: number;
}

function headerOf(bytes: Uint8Array, label: string): Header {
  const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
  if (!magic.every((byte, i) => bytes[i] === byte)) throw broken(label, 'it does not start with \\x93NUMPY');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isLong = (bytes[6] ?? 0) > 1;
  const from = isLong ? 12 : 10;
  if (bytes.length < from) throw broken(label, 'it is cut off');
  const length = isLong ? view.getUint32(8, true) : view.getUint16(8, true);
  const text = new TextDecoder('latin1').decode(bytes.subarray(from, from + length));
  const type = /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1];
  const fortran = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1];
  const shape = /'shape'\s*:\s*\(([\d,\sL]*)\)/.exec(text)?.[1];
  if (type === undefined || fortran === undefined || shape === undefined)
    throw broken(label, 'its header has no plain descr, fortran_order and shape');
  const sides = shape.split(',').flatMap((side) => (side.trim() === '' ? [] : [Number.parseInt(side, 10)]));
  return { type, fortran: fortran === 'True', shape: sides, start: from + length };
}

/** A tensor of the file's bytes, in C order. Throws `file-corrupt`. */
export function readNpy(bytes: Uint8Array, label: string): Tensor {
  const { type, fortran, shape, start } = headerOf(bytes, label);
  const [, order = '', name = ''] = /^([<>|=])(\w\d+)$/.exec(type) ?? [];
  const dtype = types[name];
  if (!dtype) throw broken(label, `its elements are ${type}`);
  const size = byteSize(dtype);
  const count = elementCount(shape);
  if (bytes.length - start < count * size) throw broken(label, 'it is cut off');
  const data = bytes.slice(start, start + count * size);
  if (order === '>') for (let i = 0; i < data.length; i += size) data.subarray(i, i + size).reverse();
  const tensor = fromBytes(dtype, shape, fortran ? fromFortran(data, shape, size) : data);
  return tensor;
}

/** Texts of one axis: NumPy's `U` (UTF-32), `S` (Latin-1), or whole numbers as their digits. Throws `file-corrupt`. */
export function readNpyTexts(bytes: Uint8Array, label: string): string[] {
  const { type, shape, start } = headerOf(bytes, label);
  const [, order = '', kind = '', digits = ''] = /^([<>|=])([US])(\d+)$/.exec(type) ?? [];
  if (kind === '') return Array.from(readNpy(bytes, label).data as ArrayLike<number | bigint>, String);
  const count = elementCount(shape);
  const length = Number(digits);
  const size = length * (kind === 'U' ? 4 : 1);
  if (bytes.length - start < count * size) throw broken(label, 'it is cut off');
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, count * size);
  const codeAt = (at: number): number => (kind === 'U' ? view.getUint32(4 * at, order !== '>') : view.getUint8(at));
  return Array.from({ length: count }, (_, row) => {
    let text = '';
    for (let i = 0; i < length; i++) {
      const code = codeAt(row * length + i);
      if (code === 0) break;
      text += code > 0x10ffff ? '\ufffd' : String.fromCodePoint(code);
    }
    return text;
  });
}

/** Elements whose first axis runs fastest, in C order. */
function fromFortran(data: Uint8Array, shape: readonly number[], size: number): Uint8Array {
  const out = new Uint8Array(data.length);
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((product, side) => product * side, 1));
  const at = new Array<number>(shape.length).fill(0);
  for (let to = 0; to < out.length; to += size) {
    const from = at.reduce((sum, i, axis) => sum + i * (strides[axis] as number), 0) * size;
    out.set(data.subarray(from, from + size), to);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at[axis] = (at[axis] as number) + 1;
      if ((at[axis] as number) < (shape[axis] as number)) break;
      at[axis] = 0;
    }
  }
  return out;
}

/** The file's bytes of texts of one axis, as NumPy's `U`. */
export function writeNpyTexts(texts: readonly string[]): Uint8Array {
  const rows = texts.map((text) => Array.from(text, (character) => character.codePointAt(0) ?? 0));
  const length = rows.reduce((most, row) => Math.max(most, row.length), 1);
  const header = headerBytes(`<U${length}`, [texts.length]);
  const out = new Uint8Array(header.length + 4 * length * texts.length);
  out.set(header);
  const view = new DataView(out.buffer, header.length);
  for (const [i, row] of rows.entries())
    for (const [k, code] of row.entries()) view.setUint32(4 * (i * length + k), code, true);
  return out;
}

/** The bytes before the numbers of an array. Throws `invalid-argument` for an element type that NumPy lacks. */
export function npyHeader(dtype: DType, sides: readonly number[]): Uint8Array {
  const name = names.get(dtype);
  if (!name) throw new StableDiffusionError('invalid-argument', `NumPy has no element type ${dtype}.`);
  return headerBytes(`${byteSize(dtype) === 1 ? '|' : '<'}${name}`, sides);
}

function headerBytes(type: string, sides: readonly number[]): Uint8Array {
  const shape = `(${sides.join(', ')}${sides.length === 1 ? ',' : ''})`;
  const text = `{'descr': '${type}', 'fortran_order': False, 'shape': ${shape}, }`;
  const padded = `${text.padEnd(Math.ceil((10 + text.length + 1) / 64) * 64 - 11)}\n`;
  const out = new Uint8Array(10 + padded.length);
  out.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length & 255, padded.length >> 8]);
  out.set(new TextEncoder().encode(padded), 10);
  return out;
}

/** The file's bytes of a tensor. Throws `invalid-argument` for an element type that NumPy lacks. */
export function writeNpy(tensor: Tensor): Uint8Array {
  const header = npyHeader(tensor.dtype, tensor.shape);
  const data = bytesOf(tensor);
  const out = new Uint8Array(header.length + data.length);
  out.set(header);
  out.set(data, header.length);
  return out;
}
