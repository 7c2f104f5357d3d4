/**
 * One process at a time opens the journal. The SQLite build locks with a folder next to the file, which outlives a killed process; a note
 * with the holder shows whether it is alive.
 */

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isAlive, startOf } from '../../files/living-process-node.ts';
import { StableDiffusionError } from '../../errors.ts';

/** Milliseconds to wait for a living holder. */
const patience = 1500;

/** Files that this process has open. */
const held = new Set<string>();

/** Takes the lock of a database file and clears what a dead process left. Gives its release. Throws `file-access` where another process has it. */
export function lockDatabase(path: string): () => void {
  const note = `${path}.pid`;
  let holder: string[] = [];
  try {
    holder = readFileSync(note, 'utf8').trim().split(' ');
  } catch {
    // nobody
  }
  const pid = Number(holder[0]);
  const isHeld = (): boolean =>
    pid === process.pid ? held.has(path) : Number.isInteger(pid) && pid > 0 && isAlive(pid, holder[1] || undefined);
  // A process that was just killed takes a moment to go.
  for (let waited = 0; pid !== process.pid && waited < patience && isHeld(); waited += 50)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  if (isHeld()) {
    throw new StableDiffusionError(
      'file-access',
      `${path} is in use by the server with process id ${pid}. Stop that one, or give this one another --data folder.`,
    );
  }
  rmSync(`${path}.lock`, { recursive: true, force: true });
  writeFileSync(note, `${process.pid} ${startOf(process.pid) ?? ''}\n`);
  held.add(path);
  return () => {
    held.delete(path);
    rmSync(note, { force: true });
  };
}
