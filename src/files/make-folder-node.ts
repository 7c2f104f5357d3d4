/** Makes a folder, and those above it, before files are written to it. */

import { mkdir } from 'node:fs/promises';
import { fileError } from './byte-source-node.ts';

/** Where it is there already, nothing happens. Throws `file-access`, `file-not-found`. */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
}
