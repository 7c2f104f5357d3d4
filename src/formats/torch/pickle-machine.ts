/** The stack, the marks and the memo of Python's pickle machine, and what its operations do to the values on them. */

import type { PickleReader } from './pickle-reader.ts';
import { describeValue, type PythonGlobal, type PythonValue } from './python-value.ts';

export interface PickleHost {
  /** The class or function of that name. Throws `file-unsafe` if it is not on the list. */
  global(module: string, name: string): PythonGlobal;
  /** The value that calling `callee` would have; `charge` takes the bytes that it allocates. */
  call(callee: PythonGlobal, args: readonly PythonValue[], charge: (bytes: number) => void): PythonValue;
  /** The value behind a persistent id (a tensor's storage). */
  persistent(id: PythonValue): PythonValue;
}

type Container = Extract<PythonValue, { readonly kind: string }>;

const maximumMemo = 4_000_000;

/** The machine over one pickle. Its methods throw `file-corrupt` where the stack does not hold what they need. */
export class PickleMachine {
  readonly reader: PickleReader;
  readonly host: PickleHost;
  readonly #stack: PythonValue[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PythonValue>();

  constructor(reader: PickleReader, host: PickleHost) {
    this.reader = reader;
    this.host = host;
  }

  get memoSize(): number {
    return this.#memo.size;
  }

  /** Pushes a value that costs `cost` bytes beside its place on the stack. */
  push(value: PythonValue, cost = 0): void {
    this.reader.charge(16 + cost);
    this.#stack.push(value);
  }

  pop(): PythonValue {
    const value = this.#isEmpty ? undefined : this.#stack.pop();
    if (value === undefined) throw this.reader.corrupt('its stack is empty');
    return value;
  }

  top(): PythonValue {
    const value = this.#isEmpty ? undefined : this.#stack.at(-1);
    if (value === undefined) throw this.reader.corrupt('its stack is empty');
    return value;
  }

  mark(): void {
    this.reader.charge(16);
    this.#marks.push(this.#stack.length);
  }

  popToMark(): PythonValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.reader.corrupt('a mark is missing');
    return this.#stack.splice(mark);
  }

  /** POP: removes the top value, or the mark if that is on top. */
  discard(): void {
    if (this.#isEmpty && this.#marks.length > 0) this.#marks.pop();
    else this.pop();
  }

  pushTuple(count: number): void {
    const items: PythonValue[] = new Array(count).fill(null);
    for (let i = count - 1; i >= 0; i--) items[i] = this.pop();
    this.push({ kind: 'tuple', items }, 48 + 8 * count);
  }

  put(index: number): void {
    this.reader.charge(64);
    if (this.#memo.size >= maximumMemo) throw this.reader.corrupt(`its memo has more than ${maximumMemo} entries`);
    this.#memo.set(index, this.top());
  }

  get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.reader.corrupt(`memo entry ${index} was never put`);
    this.push(value);
  }

  /** The value as a name. */
  nameOf(value: PythonValue): string {
    if (typeof value !== 'string') throw this.reader.corrupt(`${describeValue(value)} is not a name`);
    return value;
  }

  pushGlobal(module: string, name: string): void {
    this.push(this.host.global(module, name), 64);
  }

  /** Pushes what calling `callee` with the tuple `args` gives. */
  call(callee: PythonValue, args: PythonValue): void {
    const called = containerOf(callee);
    if (called?.kind !== 'global') throw this.reader.corrupt(`${describeValue(callee)} cannot be called`);
    const given = containerOf(args);
    if (given?.kind !== 'tuple') throw this.reader.corrupt(`${describeValue(args)} is not a list of arguments`);
    this.push(
      this.host.call(called, given.items, (bytes) => this.reader.charge(bytes)),
      200,
    );
  }

  /** Sets items of the dict or object on top; `pairs` is key, value, key, value. */
  setItems(pairs: readonly PythonValue[]): void {
    const target = containerOf(this.top());
    if (target?.kind !== 'dict' && target?.kind !== 'object')
      throw this.reader.corrupt(`${describeValue(this.top())} takes no items`);
    this.fill(target.items, pairs);
  }

  fill(items: Map<PythonValue, PythonValue>, pairs: readonly PythonValue[]): void {
    if (pairs.length % 2) throw this.reader.corrupt('a key has no value');
    this.reader.charge(24 * pairs.length);
    for (let i = 0; i < pairs.length; i += 2) {
      const key = pairs[i] ?? null;
      const kind = containerOf(key)?.kind;
      if (kind === 'dict' || kind === 'list' || kind === 'set')
        throw this.reader.corrupt(`a ${kind} is the key of a dict`);
      items.set(key, pairs[i + 1] ?? null);
    }
  }

  /** Adds elements to the list, set or object on top. */
  append(values: readonly PythonValue[], kind: 'list' | 'set'): void {
    const target = containerOf(this.top());
    if (target?.kind !== kind && target?.kind !== 'object')
      throw this.reader.corrupt(`${describeValue(this.top())} takes no elements`);
    this.reader.charge(8 * values.length);
    const into = target.kind === 'object' ? target.list : target.items;
    for (const value of values) into.push(value);
  }

  /** BUILD: gives the object below the top the state on top. */
  build(): void {
    const state = this.pop();
    const target = containerOf(this.top());
    if (target?.kind === 'object') {
      target.state = state;
      return;
    }
    // Attributes of an OrderedDict: the _metadata of a module's state dict.
    if (target?.kind === 'dict' && target.ordered && containerOf(state)?.kind === 'dict') return;
    throw this.reader.corrupt(`${describeValue(this.top())} takes no state`);
  }

  get #isEmpty(): boolean {
    return this.#stack.length <= (this.#marks.at(-1) ?? 0);
  }
}

/** The value, if it is one with a kind (a dict, a list, an object), else undefined. */
export function containerOf(value: PythonValue): Container | undefined {
  return value !== null && typeof value === 'object' && !(value instanceof Uint8Array) ? value : undefined;
}
