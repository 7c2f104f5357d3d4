/** Values that a pickle describes, as plain data: nothing in them is a Python object, and none of them can run. */

import type { DType } from '../../tensor/dtype.ts';
import type { Shape } from '../../tensor/tensor.ts';

export type PythonValue =
  | null
  | boolean
  /** A whole number; floats are `PythonFloat`. */
  | number
  /** A whole number outside the safe integers. */
  | bigint
  | string
  | Uint8Array
  | PythonFloat
  | PythonTuple
  | PythonList
  | PythonSet
  | PythonDict
  | PythonGlobal
  | PythonObject
  | TorchStorage
  | TorchTensor;

/** An element type of PyTorch: one of ours, or one that is known and not supported. */
export interface TorchType {
  readonly name: string;
  readonly size: number;
  readonly dtype: DType | undefined;
}

/** A storage: `count` elements of `type`, under a key of the file. */
export interface TorchStorage {
  readonly kind: 'storage';
  readonly key: string;
  readonly type: TorchType;
  readonly count: number;
  /** Offset in elements, if it is a window of the storage `key` (before PyTorch 0.4). */
  readonly start: number;
}

export interface TorchTensor {
  readonly kind: 'tensor';
  readonly storage: TorchStorage;
  readonly type: TorchType;
  /** In elements of `type`, from the beginning of the storage `storage.key`. */
  readonly offset: number;
  readonly shape: Shape;
  readonly strides: readonly number[];
}

export interface PythonFloat {
  readonly kind: 'float';
  readonly value: number;
}

export interface PythonTuple {
  readonly kind: 'tuple';
  readonly items: readonly PythonValue[];
}

export interface PythonList {
  readonly kind: 'list';
  readonly items: PythonValue[];
}

/** Equal members are not merged. */
export interface PythonSet {
  readonly kind: 'set';
  readonly items: PythonValue[];
}

export interface PythonDict {
  readonly kind: 'dict';
  /** An `OrderedDict` has attributes, which are dropped. */
  readonly ordered: boolean;
  /** Keys that are not primitive are compared by identity. */
  readonly items: Map<PythonValue, PythonValue>;
}

/** The name of a class or function on the list of allowed ones. */
export interface PythonGlobal {
  readonly kind: 'global';
  readonly module: string;
  readonly name: string;
}

/** A placeholder for an instance of a harmless class. */
export interface PythonObject {
  readonly kind: 'object';
  /** Full name of its class. */
  readonly type: string;
  readonly args: readonly PythonValue[];
  state: PythonValue;
  /** Its items, if its class is a kind of dict or list. */
  readonly items: Map<PythonValue, PythonValue>;
  readonly list: PythonValue[];
}

export function pythonDict(ordered = false): PythonDict {
  return { kind: 'dict', ordered, items: new Map() };
}

export function pythonObject(type: string, args: readonly PythonValue[]): PythonObject {
  return { kind: 'object', type, args, state: null, items: new Map(), list: [] };
}

/** A short description of a value, for messages. */
export function describeValue(value: PythonValue): string {
  if (value === null) return 'None';
  if (typeof value === 'string') return `the text ${JSON.stringify(value.slice(0, 60))}`;
  if (typeof value === 'number' || typeof value === 'bigint') return `the number ${String(value).slice(0, 40)}`;
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (value.kind === 'float') return `the number ${value.value}`;
  if (value.kind === 'global') return `${value.module}.${value.name}`;
  if (value.kind === 'object') return `a ${value.type}`;
  return `a ${value.kind}`;
}
