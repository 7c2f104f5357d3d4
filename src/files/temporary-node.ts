/**
 * Temporary names: `.sd-HOST-BOOT-SPACE-PID-START-N.tmp`, next to their final files. The name shows whether the owner lives, so
 * what a crash left is removed, and nothing else is.
 */

import { randomUUID } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from './file-error-node.ts';
import { stateOf, thisOwner } from './owner-node.ts';

const pattern = /^\.sd-([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{8})-([0-9]{1,10})-([0-9]{0,20})-[0-9a-f]{8}\.tmp$/;
/** After this time without a change, what a process of another machine or container was writing counts as left. */
const abandoned = 7 * 24 * 3600 * 1000;

/** A new temporary name of this process. */
export function temporaryName(): string {
  const { host, boot, space, pid, start } = thisOwner();
  return `.sd-${host}-${boot}-${space}-${pid}-${start}-${randomUUID().slice(0, 8)}.tmp`;
}

export const isTemporaryName = (name: string): boolean => pattern.test(name);

/** Removes temporary files and folders whose owners have ended. Throws `file-not-found`, `file-access`. */
export async function removeHalfWritten(folder: string, now: () => number = Date.now): Promise<void> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw fileError(folder, cause);
  });
  for (const name of names) {
    const [, host = '', boot = '', space = '', pid, start = ''] = pattern.exec(name) ?? [];
    if (pid === undefined) continue;
    const path = join(folder, name);
    const state = stateOf({ host, boot, space, pid: Number(pid), start });
    if (state === 'dead' || (state === 'unknown' && (await unchangedFor(path, now)) > abandoned))
      await rm(path, { recursive: true, force: true });
  }
}

async function unchangedFor(path: string, now: () => number): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => now() - mtimeMs,
    () => 0,
  );
}
