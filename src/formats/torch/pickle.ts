/**
 * A restricted unpickler: Python's pickle machine, protocols 0 to 5, that builds data and nothing else. Names of classes and functions
 * go to a `PickleHost`, which has a list of harmless ones and refuses the rest by name; nothing is imported, looked up or called.
 */

import { type PickleHost, PickleMachine } from './pickle-machine.ts';
import { pickleOperations } from './pickle-operations.ts';
import { PickleReader } from './pickle-reader.ts';
import type { PythonValue } from './python-value.ts';

export interface Unpickled {
  readonly value: PythonValue;
  /** Offset of the byte after the pickle. */
  readonly end: number;
}

/**
 * Reads the pickle at `start`. Throws `file-truncated` if the bytes end before it does, `file-corrupt`, `file-unsafe` or
 * `file-unsupported`. `label` names the file in messages.
 */
export function unpickle(bytes: Uint8Array, label: string, host: PickleHost, start = 0): Unpickled {
  const reader = new PickleReader(bytes, label, start);
  const machine = new PickleMachine(reader, host);
  for (;;) {
    const opcode = reader.uint8();
    const name = String.fromCharCode(opcode);
    if (name === '.') return { value: machine.pop(), end: reader.at };
    const operation = pickleOperations.get(name);
    if (operation === undefined)
      throw reader.corrupt(`0x${opcode.toString(16)} is not an operation used in checkpoints`);
    operation(machine, reader);
  }
}
