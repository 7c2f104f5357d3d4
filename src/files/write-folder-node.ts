/**
 * Writes a folder of files completely or not at all: into a temporary folder inside it, whose entries are moved up when all are
 * there. What others put into the folder meanwhile stays.
 */

import { lstat, mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import { systemCode, writeError } from './file-error-node.ts';
import { makeFolder } from './make-folder-node.ts';
import { whatIsAt } from './open-node.ts';
import { removeHalfWritten, temporaryName } from './temporary-node.ts';

export interface WriteFolderOptions {
  /** The entry that makes the folder what it is: moved last. */
  readonly last?: string;
}

/** Throws `file-exists` where `path` is a file or a folder that is not empty; to be known before long work. */
export async function checkFreeFolder(path: string): Promise<void> {
  const there = await whatIsAt(path);
  if (there === undefined) return;
  if (there !== 'folder')
    throw new StableDiffusionError('file-exists', `${path} is a file. A folder is to be written: name another one.`);
  await removeHalfWritten(path);
  if ((await readdir(path)).length > 0)
    throw new StableDiffusionError('file-exists', `${path} is not empty. Name another folder, or empty it.`);
}

/** Runs `write` with a temporary folder. Throws `file-exists`, `file-access`, or the errors of `write`; then the folder is unchanged. */
export async function writeNewFolder(
  path: string,
  write: (folder: string) => Promise<void>,
  { last }: WriteFolderOptions = {},
): Promise<void> {
  await checkFreeFolder(path);
  const made = await makeOwnFolder(path);
  const temporary = join(path, temporaryName());
  try {
    await mkdir(temporary);
    await write(temporary);
    await moveUp(temporary, path, last);
    await rmdir(temporary);
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    // Goes only where it is empty.
    if (made) await rmdir(path).catch(() => undefined);
    throw cause instanceof Error && 'syscall' in cause ? writeError(path, cause) : cause;
  }
}

/** True if the folder was created, false if it existed. */
async function makeOwnFolder(path: string): Promise<boolean> {
  try {
    await makeFolder(dirname(path));
    await mkdir(path);
    return true;
  } catch (cause) {
    if (systemCode(cause) === 'EEXIST') return false;
    throw writeError(path, cause);
  }
}

async function moveUp(from: string, to: string, last: string | undefined): Promise<void> {
  const names = (await readdir(from)).sort((a, b) => Number(a === last) - Number(b === last));
  for (const name of names) {
    const taken = await lstat(join(to, name)).then(
      () => true,
      () => false,
    );
    if (taken)
      throw new StableDiffusionError('file-exists', `${join(to, name)} was created by another program meanwhile.`);
  }
  for (const name of names) await rename(join(from, name), join(to, name));
}
