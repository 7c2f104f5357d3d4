/** Makes a folder, and those above it, before files are written to it. */

import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode, writeError } from './file-error-node.ts';

/** Where it is there already, nothing happens. Throws `file-access`, which names the folder that could not be made. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (cause) {
    if (await isFolder(path)) return;
    const above = dirname(path);
    // Not by `recursive`, which says that a folder "is not there" where the disk is read-only.
    if (systemCode(cause) !== 'ENOENT' || above === path) throw writeError(path, cause);
    await makeFolder(above);
    await mkdir(path).catch(async (again: unknown) => {
      if (!(await isFolder(path))) throw writeError(path, again);
    });
  }
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );
}
