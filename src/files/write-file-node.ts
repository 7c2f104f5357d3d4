/** Writes a file so that it is there whole or not at all: to a temporary name beside it, to the disk, then renamed over the old one. */

import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { throwIfAborted } from '../errors.ts';
import { fileError } from './byte-source-node.ts';

export interface WriteFileOptions {
  readonly signal?: AbortSignal;
  /** Who may read and write a new file, before the umask. Default 0o666. */
  readonly mode?: number;
}

/**
 * Writes chunks in turn, each before the next is asked for. Where it fails or is cancelled, the old file stays as it was and the
 * temporary one is removed. Throws `file-access`, `aborted`, or what the chunks throw.
 */
export async function writeFileAtomic(
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: WriteFileOptions = {},
): Promise<void> {
  const { handle, temporary } = await openTemporary(path, options.mode);
  try {
    try {
      for await (const chunk of chunks) {
        throwIfAborted(options.signal);
        await writeAll(path, handle, chunk);
      }
      throwIfAborted(options.signal);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true });
    throw cause instanceof Error && 'syscall' in cause ? fileError(path, cause) : cause;
  }
}

/** Removes what a crash in the midst of `writeFileAtomic` left in a folder. Only for folders that nobody else is writing to. */
export async function removeHalfWritten(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (/^\..*\.tmp$/.test(name)) await rm(join(folder, name), { force: true });
}

/** `wx` never opens a file that is there, so the first free number is ours. */
async function openTemporary(path: string, mode?: number): Promise<{ handle: FileHandle; temporary: string }> {
  for (let number = 0; ; number++) {
    const temporary = join(dirname(path), `.${basename(path)}.${process.pid}-${number}.tmp`);
    try {
      return { handle: await open(temporary, 'wx', mode), temporary };
    } catch (cause) {
      if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') || number === 1000)
        throw fileError(path, cause);
    }
  }
}

/** Writes a chunk whole: at a position, or where the last write ended. Throws `file-access`. */
export async function writeAll(path: string, handle: FileHandle, chunk: Uint8Array, position?: number): Promise<void> {
  let done = 0;
  while (done < chunk.length) {
    const at = position === undefined ? null : position + done;
    const { bytesWritten } = await handle
      .write(chunk, done, Math.min(chunk.length - done, 2 ** 30), at)
      .catch((cause: unknown) => {
        throw fileError(path, cause);
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
