/** Makes a folder, and those above it, before files are written to it. */

import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode, writeError } from './file-error-node.ts';

/** Does nothing if it exists. `mode` is of the folders that are made. Throws `file-access`, naming the folder that could not be created. */
export async function makeFolder(path: string, mode = 0o777): Promise<void> {
  try {
    await mkdir(path, mode);
  } catch (cause) {
    if (await isFolder(path)) return;
    const above = dirname(path);
    // Not with `recursive`, which reports ENOENT on a read-only disk, and never ends below /proc.
    if (systemCode(cause) !== 'ENOENT' || above === path) throw writeError(path, cause);
    await makeFolder(above, mode);
    await mkdir(path, mode).catch(async (again: unknown) => {
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
