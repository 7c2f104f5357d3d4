/** The operations of Python's pickle machine by their byte, protocols 0 to 5 (Lib/pickletools.py of CPython is their specification). */

import { floatNumber, longNumber, plainText, quotedText, wholeNumber } from './pickle-literals.ts';
import { containerOf, type PickleMachine } from './pickle-machine.ts';
import type { PickleReader } from './pickle-reader.ts';
import { pythonDict } from './python-value.ts';

type Operation = (machine: PickleMachine, reader: PickleReader) => void;

const structure: Readonly<Record<string, Operation>> = {
  // PROTO, FRAME
  '\x80': (_, reader) => {
    const protocol = reader.uint8();
    if (protocol > 5)
      throw reader.refusal('file-unsupported', `is of protocol ${protocol}, and 5 is the newest known.`);
  },
  '\x95': (_, reader) => reader.frame(),
  // MARK, POP, POP_MARK, DUP
  '(': (machine) => machine.mark(),
  '0': (machine) => machine.discard(),
  '1': (machine) => void machine.popToMark(),
  '2': (machine) => machine.push(machine.top()),
  // PUT, BINPUT, LONG_BINPUT, MEMOIZE
  p: (machine, reader) => machine.put(Number(wholeNumber(reader, reader.line()))),
  q: (machine, reader) => machine.put(reader.uint8()),
  r: (machine, reader) => machine.put(reader.uint32()),
  '\x94': (machine) => machine.put(machine.memoSize),
  // GET, BINGET, LONG_BINGET
  g: (machine, reader) => machine.get(Number(wholeNumber(reader, reader.line()))),
  h: (machine, reader) => machine.get(reader.uint8()),
  j: (machine, reader) => machine.get(reader.uint32()),
};

const numbers: Readonly<Record<string, Operation>> = {
  // NONE, NEWTRUE, NEWFALSE
  N: (machine) => machine.push(null),
  '\x88': (machine) => machine.push(true),
  '\x89': (machine) => machine.push(false),
  // INT, BININT, BININT1, BININT2
  I: (machine, reader) => {
    const digits = reader.line();
    machine.push(digits === '01' ? true : digits === '00' ? false : wholeNumber(reader, digits));
  },
  J: (machine, reader) => machine.push(reader.int32()),
  K: (machine, reader) => machine.push(reader.uint8()),
  M: (machine, reader) => machine.push(reader.uint16()),
  // LONG, LONG1, LONG4
  L: (machine, reader) => machine.push(wholeNumber(reader, reader.line().replace(/L$/, ''))),
  '\x8a': (machine, reader) => machine.push(longNumber(reader, reader.uint8())),
  '\x8b': (machine, reader) => machine.push(longNumber(reader, reader.int32())),
  // FLOAT, BINFLOAT
  F: (machine, reader) => machine.push(floatNumber(reader, reader.line()), 24),
  G: (machine, reader) => machine.push({ kind: 'float', value: reader.float64() }, 24),
};

const texts: Readonly<Record<string, Operation>> = {
  // STRING, BINSTRING, SHORT_BINSTRING
  S: (machine, reader) => machine.push(quotedText(reader, reader.line()), 24),
  T: (machine, reader) => {
    const length = reader.int32();
    if (length < 0) throw reader.corrupt(`a text has ${length} bytes`);
    machine.push(reader.text(length), 24);
  },
  U: (machine, reader) => machine.push(reader.text(reader.uint8()), 24),
  // UNICODE, BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
  V: (machine, reader) => machine.push(plainText(reader, reader.line()), 24),
  X: (machine, reader) => machine.push(reader.text(reader.uint32()), 24),
  '\x8c': (machine, reader) => machine.push(reader.text(reader.uint8()), 24),
  '\x8d': (machine, reader) => machine.push(reader.text(reader.length64()), 24),
  // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8
  B: (machine, reader) => machine.push(reader.byteString(reader.uint32()), 128),
  C: (machine, reader) => machine.push(reader.byteString(reader.uint8()), 128),
  '\x8e': (machine, reader) => machine.push(reader.byteString(reader.length64()), 128),
  '\x96': (machine, reader) => machine.push(reader.byteString(reader.length64()), 128),
};

const collections: Readonly<Record<string, Operation>> = {
  // EMPTY_LIST, LIST, APPEND, APPENDS
  ']': (machine) => machine.push({ kind: 'list', items: [] }, 64),
  l: (machine) => machine.push({ kind: 'list', items: machine.popToMark() }, 64),
  a: (machine) => machine.append([machine.pop()], 'list'),
  e: (machine) => machine.append(machine.popToMark(), 'list'),
  // EMPTY_TUPLE, TUPLE, TUPLE1, TUPLE2, TUPLE3
  ')': (machine) => machine.push({ kind: 'tuple', items: [] }, 48),
  t: (machine) => machine.push({ kind: 'tuple', items: machine.popToMark() }, 48),
  '\x85': (machine) => machine.pushTuple(1),
  '\x86': (machine) => machine.pushTuple(2),
  '\x87': (machine) => machine.pushTuple(3),
  // EMPTY_DICT, DICT, SETITEM, SETITEMS
  '}': (machine) => machine.push(pythonDict(), 200),
  d: (machine) => {
    const dict = pythonDict();
    machine.fill(dict.items, machine.popToMark());
    machine.push(dict, 200);
  },
  s: (machine) => {
    const value = machine.pop();
    machine.setItems([machine.pop(), value]);
  },
  u: (machine) => machine.setItems(machine.popToMark()),
  // EMPTY_SET, ADDITEMS, FROZENSET
  '\x8f': (machine) => machine.push({ kind: 'set', items: [] }, 64),
  '\x90': (machine) => machine.append(machine.popToMark(), 'set'),
  '\x91': (machine) => machine.push({ kind: 'set', items: machine.popToMark() }, 64),
};

const objects: Readonly<Record<string, Operation>> = {
  // GLOBAL, STACK_GLOBAL
  c: (machine, reader) => {
    const module = reader.line();
    machine.pushGlobal(module, reader.line());
  },
  '\x93': (machine) => {
    const name = machine.nameOf(machine.pop());
    machine.pushGlobal(machine.nameOf(machine.pop()), name);
  },
  // REDUCE, NEWOBJ, NEWOBJ_EX
  R: callTop,
  '\x81': callTop,
  '\x92': (machine, reader) => {
    const named = containerOf(machine.pop());
    if (named?.kind !== 'dict' || named.items.size > 0) throw reader.corrupt('an object is built with named arguments');
    callTop(machine);
  },
  // INST, OBJ, BUILD
  i: (machine, reader) => {
    const module = reader.line();
    const callee = machine.host.global(module, reader.line());
    machine.call(callee, { kind: 'tuple', items: machine.popToMark() });
  },
  o: (machine, reader) => {
    const [callee, ...args] = machine.popToMark();
    if (callee === undefined) throw reader.corrupt('its stack is empty');
    machine.call(callee, { kind: 'tuple', items: args });
  },
  b: (machine) => machine.build(),
  // BINPERSID, PERSID
  Q: (machine) => machine.push(machine.host.persistent(machine.pop()), 64),
  P: (machine, reader) => machine.push(machine.host.persistent(reader.line()), 64),
  // EXT1, EXT2, EXT4
  '\x82': refuseExtension,
  '\x83': refuseExtension,
  '\x84': refuseExtension,
};

/** By byte: what each operation does. STOP is not among them. */
export const pickleOperations: ReadonlyMap<string, Operation> = new Map(
  [structure, numbers, texts, collections, objects].flatMap((group) => Object.entries(group)),
);

function callTop(machine: PickleMachine): void {
  const args = machine.pop();
  machine.call(machine.pop(), args);
}

function refuseExtension(_: PickleMachine, reader: PickleReader): void {
  throw reader.refusal(
    'file-unsafe',
    "names a class by its number in Python's extension registry, which could be any class. It is refused.",
  );
}
