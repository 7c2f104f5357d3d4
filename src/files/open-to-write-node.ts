/**
 * Opens a local file to add to it: logs that grow, downloads that are resumed. Files that are written whole go through write-file-node.ts.
 *
 * Only regular files, and through no link at the name itself: what a link leads to was not made by this program.
 */

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { StableDiffusionError } from '../errors.ts';
import { systemCode, writeError } from './file-error-node.ts';
import { notRegular } from './open-node.ts';

const { O_APPEND, O_CREAT, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_WRONLY } = constants;

const flags = {
  /** Every write goes to the end. */
  append: O_APPEND | O_CREAT,
  /** Writes go to positions; what is there stays. */
  keep: O_CREAT,
} as const;

/** Opens a file, which is created if it is missing. Throws `file-access`, `file-not-found` without its folder. The caller closes it. */
export async function openToWrite(path: string, mode: keyof typeof flags): Promise<FileHandle> {
  const handle = await open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | flags[mode]).catch((cause: unknown) => {
    if (systemCode(cause) !== 'ELOOP') throw writeError(path, cause);
    throw new StableDiffusionError('file-access', `${path} is a link, so it is not written. Remove it.`, { cause });
  });
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw notRegular(path, status);
    return handle;
  } catch (cause) {
    await handle.close();
    throw writeError(path, cause);
  }
}
