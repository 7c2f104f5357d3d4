/** Translates system errors about a file to the library's errors. */

import { existsSync, readlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { StableDiffusionError } from '../errors.ts';

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission is denied',
  EPERM: 'permission is denied',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is not a folder',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file is too large for this disk',
  EROFS: 'the disk is read-only',
  EMFILE: 'too many files are open',
  ENFILE: 'too many files are open',
  ELOOP: 'its links lead in a circle',
  ENAMETOOLONG: 'the name is too long',
  ENXIO: 'it is a socket, a pipe or a device',
  EIO: 'the device failed',
  EBADF: 'it has been closed',
};

/** The system's code of an error (`ENOENT`), where it has one. */
export const systemCode = (cause: unknown): string | undefined =>
  cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;

/** Why a file could not be read. Errors of our own pass. */
export function fileError(path: string, cause: unknown): StableDiffusionError {
  if (cause instanceof StableDiffusionError) return cause;
  const code = systemCode(cause);
  if (code === 'ENOTDIR' && existsSync(path))
    return new StableDiffusionError('file-access', `${path} is a file, and a folder is needed.`, { cause });
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return new StableDiffusionError('file-not-found', `${path} ${absence(path)}.`, { cause });
  return new StableDiffusionError('file-access', `${path} could not be read or written: ${reasonOf(cause)}.`, {
    cause,
  });
}

/** A link may be there without its file: a download that was broken off, a disk that is not mounted. */
function absence(path: string): string {
  try {
    return `is a link to ${readlinkSync(path)}, which does not exist`;
  } catch {
    return 'does not exist';
  }
}

/** Why a file or folder could not be written. Errors of our own pass. */
export function writeError(path: string, cause: unknown): StableDiffusionError {
  if (cause instanceof StableDiffusionError) return cause;
  if (systemCode(cause) === 'ENOENT') {
    const why = existsSync(dirname(path)) ? 'its folder takes no new files' : 'its folder does not exist';
    return new StableDiffusionError('file-not-found', `${path} could not be written: ${why}.`, { cause });
  }
  const reason = reasonOf(cause);
  return new StableDiffusionError('file-access', `${path} could not be written: ${reason}.`, { cause });
}

function reasonOf(cause: unknown): string {
  const known = reasons[systemCode(cause) ?? ''];
  return known ?? (cause instanceof Error ? cause.message : String(cause));
}
