/** ByteSource over a file on disk, by positioned reads of one open handle. */

import { type FileHandle, open } from 'node:fs/promises';
import { StableDiffusionError } from '../errors.ts';
import { type ByteSource, checkRange } from './byte-source.ts';

/** The most that one call to the system reads. */
const pieceSize = 2 ** 30;

/** Opens a file. Throws `file-not-found`, or `file-access` where it is no ordinary file or may not be read. */
export async function openFile(path: string): Promise<ByteSource> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw new StableDiffusionError('file-access', `${path} is not a file.`);
    return fileBytes(path, handle, status.size);
  } catch (cause) {
    await handle.close();
    throw fileError(path, cause);
  }
}

function fileBytes(path: string, handle: FileHandle, size: number): ByteSource {
  return {
    label: path,
    path,
    size,
    async read(offset, length) {
      checkRange(this, offset, length);
      // Not zeroed first: it is returned only when every byte has been read.
      const bytes: Uint8Array = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await handle
          .read(bytes, done, Math.min(length - done, pieceSize), offset + done)
          .catch((cause: unknown) => {
            throw fileError(path, cause);
          });
        if (bytesRead === 0)
          throw new StableDiffusionError('file-truncated', `${path} became shorter while it was read.`);
        done += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}

/** What the system reported, as one of our errors. */
export function fileError(path: string, cause: unknown): StableDiffusionError {
  if (cause instanceof StableDiffusionError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new StableDiffusionError('file-not-found', `${path} is not there.`, { cause });
  }
  const reasons: Readonly<Record<string, string>> = {
    EACCES: 'permission is denied',
    EPERM: 'permission is denied',
    EISDIR: 'it is a folder',
    ENOSPC: 'the disk is full',
    EROFS: 'the disk is read-only',
    EMFILE: 'too many files are open',
    EIO: 'the device failed',
    EBADF: 'it has been closed',
  };
  const reason = (code && reasons[code]) ?? (cause instanceof Error ? cause.message : String(cause));
  return new StableDiffusionError('file-access', `${path} could not be read or written: ${reason}.`, { cause });
}
