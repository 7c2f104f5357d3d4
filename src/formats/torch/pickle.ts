/**
 * A restricted unpickler: Python's pickle machine, protocols 0 to 5 (Lib/pickletools.py of CPython is its specification), that builds
 * data and nothing else. Names of classes and functions go to a `PickleHost`, which has a list of harmless ones and refuses the
 * rest by name; nothing is imported, looked up or called.
 *
 * Pickles are untrusted: every length is checked against the bytes that are left before anything is allocated, and what is built is
 * charged to a budget, because references can make a small pickle describe a large value.
 */

import { StableDiffusionError } from '../../errors.ts';
import { describeValue, type PythonDict, type PythonGlobal, type PythonValue, pythonDict } from './python-value.ts';

export interface PickleHost {
  /** The class or function of that name. Throws `file-unsafe` if it is not on the list. */
  global(module: string, name: string): PythonGlobal;
  /** The value that calling `callee` would have; `charge` takes the bytes that it allocates. */
  call(callee: PythonGlobal, args: readonly PythonValue[], charge: (bytes: number) => void): PythonValue;
  /** The value behind a persistent id (a tensor's storage). */
  persistent(id: PythonValue): PythonValue;
}

export interface Unpickled {
  readonly value: PythonValue;
  /** Offset of the byte after the pickle. */
  readonly end: number;
}

const budget = 256 * 2 ** 20;
const maximumMemo = 4_000_000;
const maximumLongBytes = 1024;
const maximumDigits = 4300;

/**
 * Reads the pickle at `start`. Throws `file-truncated` if the bytes end before it does, `file-corrupt`, `file-unsafe` or
 * `file-unsupported`. `label` names the file in messages.
 */
export function unpickle(bytes: Uint8Array, label: string, host: PickleHost, start = 0): Unpickled {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const memo = new Map<number, PythonValue>();
  const stack: PythonValue[] = [];
  const marks: number[] = [];
  let at = start;
  let frameEnd = 0;
  let spent = 0;

  function corrupt(reason: string, cause?: unknown): StableDiffusionError {
    return new StableDiffusionError(
      'file-corrupt',
      `${label}: its pickle is malformed at byte ${at}: ${reason}. Get the file again.`,
      { cause },
    );
  }

  function charge(cost: number): void {
    spent += cost;
    if (spent > budget)
      throw new StableDiffusionError(
        'file-unsafe',
        `${label}: its pickle describes more than ${budget / 2 ** 20} MiB of values other than tensors. It is not the pickle of a checkpoint.`,
      );
  }

  function take(length: number): number {
    if (length > bytes.length - at) {
      throw new StableDiffusionError(
        'file-truncated',
        `${label}: its pickle ends too early: ${length} bytes were expected at byte ${at}, and ${bytes.length - at} are left. Get the file again.`,
      );
    }
    at += length;
    return at - length;
  }

  function longLength(): number {
    const length = view.getBigUint64(take(8), true);
    return length > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(length);
  }

  function text(length: number): string {
    const from = take(length);
    charge(2 * length);
    try {
      return utf8.decode(bytes.subarray(from, at));
    } catch (cause) {
      throw corrupt('a text is not UTF-8', cause);
    }
  }

  function byteString(length: number): Uint8Array {
    const from = take(length);
    charge(length);
    return bytes.slice(from, at);
  }

  /** The text up to the next line feed. */
  function line(): string {
    const end = bytes.indexOf(10, at);
    const value = text((end < 0 ? bytes.length : end) - at);
    take(1);
    return value;
  }

  function push(value: PythonValue, cost = 0): void {
    charge(16 + cost);
    stack.push(value);
  }

  function pop(): PythonValue {
    const value = stack.length > (marks.at(-1) ?? 0) ? stack.pop() : undefined;
    if (value === undefined) throw corrupt('its stack is empty');
    return value;
  }

  function top(): PythonValue {
    const value = stack.length > (marks.at(-1) ?? 0) ? stack.at(-1) : undefined;
    if (value === undefined) throw corrupt('its stack is empty');
    return value;
  }

  function popToMark(): PythonValue[] {
    const mark = marks.pop();
    if (mark === undefined) throw corrupt('a mark is missing');
    return stack.splice(mark);
  }

  function popTuple(count: number): PythonValue {
    const items: PythonValue[] = new Array(count).fill(null);
    for (let i = count - 1; i >= 0; i--) items[i] = pop();
    return { kind: 'tuple', items };
  }

  function put(index: number): void {
    charge(64);
    if (memo.size >= maximumMemo) throw corrupt(`its memo has more than ${maximumMemo} entries`);
    memo.set(index, top());
  }

  function get(index: number): void {
    const value = memo.get(index);
    if (value === undefined) throw corrupt(`memo entry ${index} was never put`);
    push(value);
  }

  function global(module: string, name: string): void {
    push(host.global(module, name), 64);
  }

  function nameOf(value: PythonValue): string {
    if (typeof value !== 'string') throw corrupt(`${describeValue(value)} is not a name`);
    return value;
  }

  function call(callee: PythonValue, args: PythonValue): void {
    if (callee === null || typeof callee !== 'object' || callee instanceof Uint8Array || callee.kind !== 'global') {
      throw corrupt(`${describeValue(callee)} cannot be called`);
    }
    if (args === null || typeof args !== 'object' || args instanceof Uint8Array || args.kind !== 'tuple') {
      throw corrupt(`${describeValue(args)} is not a list of arguments`);
    }
    push(host.call(callee, args.items, charge), 200);
  }

  function setItems(pairs: readonly PythonValue[]): void {
    const target = top();
    if (
      target === null ||
      typeof target !== 'object' ||
      target instanceof Uint8Array ||
      (target.kind !== 'dict' && target.kind !== 'object')
    ) {
      throw corrupt(`${describeValue(target)} takes no items`);
    }
    fill(target.items, pairs);
  }

  function fill(items: Map<PythonValue, PythonValue>, pairs: readonly PythonValue[]): void {
    if (pairs.length % 2) throw corrupt('a key has no value');
    charge(24 * pairs.length);
    for (let i = 0; i < pairs.length; i += 2) {
      const key = pairs[i] as PythonValue;
      if (
        key !== null &&
        typeof key === 'object' &&
        'kind' in key &&
        (key.kind === 'dict' || key.kind === 'list' || key.kind === 'set')
      ) {
        throw corrupt(`a ${key.kind} is the key of a dict`);
      }
      items.set(key, pairs[i + 1] as PythonValue);
    }
  }

  function append(values: readonly PythonValue[], kind: 'list' | 'set'): void {
    const target = top();
    if (target !== null && typeof target === 'object' && !(target instanceof Uint8Array)) {
      if (target.kind === kind || target.kind === 'object') {
        const into = target.kind === 'object' ? target.list : target.items;
        charge(8 * values.length);
        for (const value of values) into.push(value);
        return;
      }
    }
    throw corrupt(`${describeValue(target)} takes no elements`);
  }

  function build(): void {
    const state = pop();
    const target = top();
    if (target !== null && typeof target === 'object' && !(target instanceof Uint8Array)) {
      if (target.kind === 'object') {
        target.state = state;
        return;
      }
      // Attributes of an OrderedDict: the _metadata of a module's state dict.
      if (
        target.kind === 'dict' &&
        target.ordered &&
        state !== null &&
        typeof state === 'object' &&
        'kind' in state &&
        state.kind === 'dict'
      )
        return;
    }
    throw corrupt(`${describeValue(target)} takes no state`);
  }

  function wholeNumber(digits: string): number | bigint {
    if (!/^[+-]?[0-9]+$/.test(digits)) throw corrupt(`${JSON.stringify(digits.slice(0, 40))} is not a whole number`);
    if (digits.length > maximumDigits) throw corrupt(`a whole number has ${digits.length} digits`);
    return narrow(BigInt(digits.replace('+', '')));
  }

  function longBytes(length: number): number | bigint {
    if (length < 0) throw corrupt(`a whole number has ${length} bytes`);
    const from = take(length);
    if (length > maximumLongBytes) throw corrupt(`a whole number has ${length} bytes`);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[from + i] as number);
    return narrow(BigInt.asIntN(8 * length, value));
  }

  function float(digits: string): PythonValue {
    const value =
      digits === 'nan'
        ? Number.NaN
        : /^-?inf$/.test(digits)
          ? digits === 'inf'
            ? Infinity
            : -Infinity
          : Number(digits);
    if (digits.trim() === '' || (Number.isNaN(value) && digits !== 'nan'))
      throw corrupt(`${JSON.stringify(digits.slice(0, 40))} is not a number`);
    return { kind: 'float', value };
  }

  /** A Python 2 string literal in quotes; only its plain form, without escapes. */
  function literal(value: string): string {
    const quote = value.charAt(0);
    if (value.length < 2 || (quote !== "'" && quote !== '"') || !value.endsWith(quote))
      throw corrupt('a text lacks its quotes');
    if (value.includes('\\'))
      throw new StableDiffusionError(
        'file-unsupported',
        `${label}: its pickle has a text with escapes of protocol 0, which are not supported.`,
      );
    return value.slice(1, -1);
  }

  for (;;) {
    const opcode = bytes[take(1)] as number;
    switch (String.fromCharCode(opcode)) {
      case '\x80': {
        // PROTO
        const protocol = bytes[take(1)] as number;
        if (protocol > 5)
          throw new StableDiffusionError(
            'file-unsupported',
            `${label}: its pickle is of protocol ${protocol}, and 5 is the newest known.`,
          );
        break;
      }
      case '\x95': {
        // FRAME
        const length = longLength();
        if (at < frameEnd) throw corrupt('a frame begins within another');
        frameEnd = take(length) + length;
        at = frameEnd - length;
        break;
      }
      case '.':
        return { value: pop(), end: at }; // STOP
      case '(':
        charge(16);
        marks.push(stack.length);
        break; // MARK
      case '0': // POP
        if (stack.length === (marks.at(-1) ?? 0) && marks.length > 0) marks.pop();
        else pop();
        break;
      case '1':
        popToMark();
        break; // POP_MARK
      case '2':
        push(top());
        break; // DUP
      case 'N':
        push(null);
        break; // NONE
      case '\x88':
        push(true);
        break; // NEWTRUE
      case '\x89':
        push(false);
        break; // NEWFALSE
      case 'I': {
        // INT
        const digits = line();
        push(digits === '01' ? true : digits === '00' ? false : wholeNumber(digits));
        break;
      }
      case 'J':
        push(view.getInt32(take(4), true));
        break; // BININT
      case 'K':
        push(bytes[take(1)] as number);
        break; // BININT1
      case 'M':
        push(view.getUint16(take(2), true));
        break; // BININT2
      case 'L':
        push(wholeNumber(line().replace(/L$/, '')));
        break; // LONG
      case '\x8a':
        push(longBytes(bytes[take(1)] as number));
        break; // LONG1
      case '\x8b':
        push(longBytes(view.getInt32(take(4), true)));
        break; // LONG4
      case 'F':
        push(float(line()), 24);
        break; // FLOAT
      case 'G':
        push({ kind: 'float', value: view.getFloat64(take(8), false) }, 24);
        break; // BINFLOAT
      case 'S':
        push(literal(line()), 24);
        break; // STRING
      case 'T': {
        // BINSTRING
        const length = view.getInt32(take(4), true);
        if (length < 0) throw corrupt(`a text has ${length} bytes`);
        push(text(length), 24);
        break;
      }
      case 'U':
        push(text(bytes[take(1)] as number), 24);
        break; // SHORT_BINSTRING
      case 'V': {
        // UNICODE
        const value = line();
        if (value.includes('\\'))
          throw new StableDiffusionError(
            'file-unsupported',
            `${label}: its pickle has a text with escapes of protocol 0, which are not supported.`,
          );
        push(value, 24);
        break;
      }
      case 'X':
        push(text(view.getUint32(take(4), true)), 24);
        break; // BINUNICODE
      case '\x8c':
        push(text(bytes[take(1)] as number), 24);
        break; // SHORT_BINUNICODE
      case '\x8d':
        push(text(longLength()), 24);
        break; // BINUNICODE8
      case 'B':
        push(byteString(view.getUint32(take(4), true)), 128);
        break; // BINBYTES
      case 'C':
        push(byteString(bytes[take(1)] as number), 128);
        break; // SHORT_BINBYTES
      case '\x8e': // BINBYTES8
      case '\x96':
        push(byteString(longLength()), 128);
        break; // BYTEARRAY8
      case ']':
        push({ kind: 'list', items: [] }, 64);
        break; // EMPTY_LIST
      case 'a':
        append([pop()], 'list');
        break; // APPEND
      case 'e':
        append(popToMark(), 'list');
        break; // APPENDS
      case 'l':
        push({ kind: 'list', items: popToMark() }, 64);
        break; // LIST
      case ')':
        push({ kind: 'tuple', items: [] }, 48);
        break; // EMPTY_TUPLE
      case 't':
        push({ kind: 'tuple', items: popToMark() }, 48);
        break; // TUPLE
      case '\x85':
        push(popTuple(1), 56);
        break; // TUPLE1
      case '\x86':
        push(popTuple(2), 64);
        break; // TUPLE2
      case '\x87':
        push(popTuple(3), 72);
        break; // TUPLE3
      case '}':
        push(pythonDict(), 200);
        break; // EMPTY_DICT
      case 'd': {
        // DICT
        const dict: PythonDict = pythonDict();
        fill(dict.items, popToMark());
        push(dict, 200);
        break;
      }
      case 's': {
        // SETITEM
        const value = pop();
        setItems([pop(), value]);
        break;
      }
      case 'u':
        setItems(popToMark());
        break; // SETITEMS
      case '\x8f':
        push({ kind: 'set', items: [] }, 64);
        break; // EMPTY_SET
      case '\x90':
        append(popToMark(), 'set');
        break; // ADDITEMS
      case '\x91':
        push({ kind: 'set', items: popToMark() }, 64);
        break; // FROZENSET
      case 'p':
        put(Number(wholeNumber(line())));
        break; // PUT
      case 'q':
        put(bytes[take(1)] as number);
        break; // BINPUT
      case 'r':
        put(view.getUint32(take(4), true));
        break; // LONG_BINPUT
      case '\x94':
        put(memo.size);
        break; // MEMOIZE
      case 'g':
        get(Number(wholeNumber(line())));
        break; // GET
      case 'h':
        get(bytes[take(1)] as number);
        break; // BINGET
      case 'j':
        get(view.getUint32(take(4), true));
        break; // LONG_BINGET
      case 'c': {
        // GLOBAL
        const module = line();
        global(module, line());
        break;
      }
      case '\x93': {
        // STACK_GLOBAL
        const name = nameOf(pop());
        global(nameOf(pop()), name);
        break;
      }
      case 'R': // REDUCE
      case '\x81': {
        // NEWOBJ
        const args = pop();
        call(pop(), args);
        break;
      }
      case '\x92': {
        // NEWOBJ_EX
        const named = pop();
        const args = pop();
        if (
          named === null ||
          typeof named !== 'object' ||
          !('kind' in named) ||
          named.kind !== 'dict' ||
          named.items.size > 0
        ) {
          throw corrupt('an object is built with named arguments');
        }
        call(pop(), args);
        break;
      }
      case 'i': {
        // INST
        const module = line();
        const callee = host.global(module, line());
        call(callee, { kind: 'tuple', items: popToMark() });
        break;
      }
      case 'o': {
        // OBJ
        const [callee, ...args] = popToMark();
        if (callee === undefined) throw corrupt('its stack is empty');
        call(callee, { kind: 'tuple', items: args });
        break;
      }
      case 'b':
        build();
        break; // BUILD
      case 'Q':
        push(host.persistent(pop()), 64);
        break; // BINPERSID
      case 'P':
        push(host.persistent(line()), 64);
        break; // PERSID
      case '\x82': // EXT1
      case '\x83': // EXT2
      case '\x84': // EXT4
        throw new StableDiffusionError(
          'file-unsafe',
          `${label}: its pickle names a class by its number in Python's extension registry, which could be any class. It is refused.`,
        );
      default:
        throw corrupt(`0x${opcode.toString(16)} is not an operation used in checkpoints`);
    }
  }
}

function narrow(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}
