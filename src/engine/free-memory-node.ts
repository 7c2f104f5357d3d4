/** The memory that this process may still take. */

import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';

/** Bytes of this process that no file can give back; 0 where the system does not tell. */
function ownBytes(): number {
  try {
    const status = readFileSync('/proc/self/status', 'utf8');
    return 1024 * Number(/^RssAnon:\s{1,20}([0-9]{1,15}) kB/m.exec(status)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/**
 * Bytes that are free, or would be without the system's copies of files. In a container with a limit the system counts those copies as used,
 * so there it is what the limit leaves beside this process, if that is more.
 */
export function freeMemory(): number {
  const free = process.availableMemory();
  const limit = process.constrainedMemory() ?? 0;
  return limit > 0 && limit < totalmem() ? Math.max(free, limit - ownBytes()) : free;
}
