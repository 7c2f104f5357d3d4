/**
 * Writes a file atomically: to a temporary name next to it, flushed to disk, then renamed, so that it exists completely
 * or not at all. An existing file stays, unless the caller allows replacing it. All code uses this.
 */

import type { Stats } from 'node:fs';
import { type FileHandle, link, lstat, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { FileIdentity } from './byte-source.ts';
import { systemCode, writeError } from './file-error-node.ts';
import { identityOf, isSameFile } from './open-node.ts';
import { temporaryName } from './temporary-node.ts';

export { removeHalfWritten } from './temporary-node.ts';

export interface WriteFileOptions {
  readonly signal?: AbortSignal | undefined;
  /** Who may read and write a new file, before the umask. Default 0o666. */
  readonly mode?: number | undefined;
  /**
   * Files that may be replaced: none (default), any (`true`: the program's own files, or `--force`), or the file of this identity, which
   * the caller has written before.
   */
  readonly replace?: boolean | FileIdentity | undefined;
}

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Writes a new file, chunk by chunk, each before the next is produced. If it fails or is cancelled, the old file stays and the temporary
 * file is removed. Throws `file-exists` where the name is taken, `file-access`, `aborted`, or what the chunks throw.
 */
export async function writeNewFile(
  path: string,
  chunks: Chunks,
  options: WriteFileOptions = {},
): Promise<FileIdentity> {
  const temporary = join(dirname(path), temporaryName());
  const handle = await open(temporary, 'wx', options.mode).catch((cause: unknown) => {
    throw writeError(path, cause);
  });
  try {
    let identity: FileIdentity;
    try {
      for await (const chunk of chunks) {
        throwIfAborted(options.signal);
        await writeAll(path, handle, chunk);
      }
      throwIfAborted(options.signal);
      await handle.sync();
      identity = identityOf(await handle.stat());
    } finally {
      await handle.close();
    }
    if (await mayReplace(path, options.replace)) await rename(temporary, path);
    else await takeName(temporary, path);
    await syncFolder(dirname(path));
    return identity;
  } catch (cause) {
    await rm(temporary, { force: true });
    throw cause instanceof Error && 'syscall' in cause ? writeError(path, cause) : cause;
  }
}

/** Like `writeNewFile`, replacing an existing file. For files that belong to this program. */
export function writeFileAtomic(path: string, chunks: Chunks, options: WriteFileOptions = {}): Promise<FileIdentity> {
  return writeNewFile(path, chunks, { replace: true, ...options });
}

/** Like `writeNewFile`, of a text as UTF-8. */
export function writeNewText(path: string, text: string, options: WriteFileOptions = {}): Promise<FileIdentity> {
  return writeNewFile(path, [new TextEncoder().encode(text)], options);
}

/** Like `writeFileAtomic`, of a text as UTF-8. */
export function writeText(path: string, text: string, options: WriteFileOptions = {}): Promise<FileIdentity> {
  return writeNewText(path, text, { replace: true, ...options });
}

/** Throws `file-exists` where a file is written to a name that is taken; to be known before long work. */
export async function checkFree(path: string, replace: WriteFileOptions['replace'] = false): Promise<void> {
  const there = await statusOf(path);
  if (there && !(await mayReplace(path, replace))) throw taken(path);
}

/** True if renaming onto `path` replaces only what the caller allows. A folder, pipe or device is never replaced. */
async function mayReplace(path: string, replace: WriteFileOptions['replace']): Promise<boolean> {
  if (replace === undefined || replace === false) return false;
  const there = await statusOf(path);
  if (!there) return replace === true;
  if (!there.isFile() && !there.isSymbolicLink())
    throw new StableDiffusionError('file-access', `${path} is not a regular file, so it is not replaced.`);
  if (replace === true) return true;
  // The time counts too: inode numbers are used again.
  return isSameFile(identityOf(there), replace);
}

async function statusOf(path: string): Promise<Stats | undefined> {
  return lstat(path).catch((cause: unknown) => {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw writeError(path, cause);
  });
}

/** Gives a file a name that must be free: a hard link fails where it is taken, which a rename does not. */
export async function takeName(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
    await rm(temporary, { force: true });
    return;
  } catch (cause) {
    if (systemCode(cause) === 'EEXIST') throw taken(path, cause);
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(systemCode(cause) ?? '')) throw cause;
  }
  // A file system without hard links: the name is reserved by an empty file of ours.
  const reserved = await open(path, 'wx').catch((cause: unknown) => {
    throw systemCode(cause) === 'EEXIST' ? taken(path, cause) : cause;
  });
  await reserved.close();
  await rename(temporary, path);
}

function taken(path: string, cause?: unknown): StableDiffusionError {
  return new StableDiffusionError(
    'file-exists',
    `${path} exists already and is not replaced. Choose another name, or give --force.`,
    { cause },
  );
}

/** Writes a chunk whole: at a position, or where the last write ended. Throws `file-access`. */
export async function writeAll(path: string, handle: FileHandle, chunk: Uint8Array, position?: number): Promise<void> {
  let done = 0;
  while (done < chunk.length) {
    const at = position === undefined ? null : position + done;
    const { bytesWritten } = await handle
      .write(chunk, done, Math.min(chunk.length - done, 2 ** 30), at)
      .catch((cause: unknown) => {
        throw writeError(path, cause);
      });
    done += bytesWritten;
  }
}

/** Makes the new name itself last through a power cut, where the system can. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}
