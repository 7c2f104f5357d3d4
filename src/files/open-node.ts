/**
 * Opens a local file for reading. All code uses this.
 *
 * Only regular files: a pipe or a device would block or never end, so a file is opened without blocking and then checked. Links are
 * followed to the real path, which is what is handed on (ONNX Runtime refuses a link that leads out of its folder). `within` is the rule
 * for names that came with a folder of somebody else's. The file's identity is kept, and compared where it is read again.
 */

import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep, isAbsolute } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import type { FileIdentity } from './byte-source.ts';
import { fileError, systemCode } from './file-error-node.ts';
import { textOf } from './text-encoding.ts';

export interface OpenedFile {
  readonly handle: FileHandle;
  /** Behind all links. */
  readonly realPath: string;
  readonly identity: FileIdentity;
}

/** The most bytes of a file that is read whole, by what it is. */
export const fileLimits = {
  /** YAML and JSON of a model. */
  configuration: 2 ** 20,
  tokenizer: 16 * 2 ** 20,
  /** `*.index.json`. */
  'index of shards': 64 * 2 ** 20,
  /** Before decoding; the number of pixels has a limit of its own. */
  picture: 512 * 2 ** 20,
  caption: 2 ** 16,
  /** `metadata.jsonl` of a folder of pictures: some million rows. */
  'table of pictures': 256 * 2 ** 20,
  /** Lists of prompts. */
  text: 64 * 2 ** 20,
  /** `metrics.jsonl`: more than a million rows. */
  'log of a run': 256 * 2 ** 20,
  /** Notes this program writes for itself: locks, states, options. */
  note: 2 ** 20,
} as const satisfies Readonly<Record<string, number>>;

export type FileKind = keyof typeof fileLimits;

export interface OpenOptions {
  /**
   * The file must lie in this folder when all links are followed. Hugging Face's cache is allowed for: a link of
   * `models--…/snapshots/REV/`, or of a folder in it, may lead to `models--…/blobs/`.
   */
  readonly within?: string | undefined;
}

export const identityOf = ({ dev, ino, size, mtimeMs }: Stats): FileIdentity => ({
  device: dev,
  inode: ino,
  size,
  modified: mtimeMs,
});

export const isSameFile = (a: FileIdentity, b: FileIdentity): boolean =>
  a.device === b.device && a.inode === b.inode && a.size === b.size && a.modified === b.modified;

/** Opens a regular file. Throws `file-not-found`, `file-access`, or `file-unsafe` for a link that leaves `within`. The caller closes it. */
export async function openRegular(path: string, options: OpenOptions = {}): Promise<OpenedFile> {
  const realPath = await realpath(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  if (options.within !== undefined) await checkWithin(path, realPath, options.within);
  const handle = await open(realPath, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw notRegular(path, status);
    return { handle, realPath, identity: identityOf(status) };
  } catch (cause) {
    await handle.close();
    throw fileError(path, cause);
  }
}

/** Reads a file whole, up to the limit of its kind. Throws what `openRegular` throws, and `too-large`. */
export async function readFileOf(kind: FileKind, path: string, options: OpenOptions = {}): Promise<Uint8Array> {
  const { handle, identity } = await openRegular(path, options);
  try {
    const limit = fileLimits[kind];
    if (identity.size > limit)
      throw new StableDiffusionError(
        'too-large',
        `${path} has ${identity.size} bytes. A ${kind} of at most ${limit} bytes is read.`,
      );
    // Files under /proc report 0 bytes but have more.
    const bytes = identity.size === 0 ? await readUpTo(handle, limit) : await readExactly(handle, identity.size, path);
    return bytes;
  } catch (cause) {
    throw fileError(path, cause);
  } finally {
    await handle.close();
  }
}

/** Like `readFileOf`, as text: UTF-8, or UTF-16 with a byte order mark. Throws `file-corrupt` too. */
export async function readTextOf(kind: FileKind, path: string, options: OpenOptions = {}): Promise<string> {
  return textOf(await readFileOf(kind, path, options), path);
}

/** Like `readFileOf`; undefined if the file does not exist. */
export async function readFileIfThere(
  kind: FileKind,
  path: string,
  options: OpenOptions = {},
): Promise<Uint8Array | undefined> {
  return readFileOf(kind, path, options).catch((error: unknown) => {
    if (error instanceof StableDiffusionError && error.code === 'file-not-found') return undefined;
    throw error;
  });
}

/** Like `readTextOf`; undefined if the file does not exist. */
export async function readTextIfThere(
  kind: FileKind,
  path: string,
  options: OpenOptions = {},
): Promise<string | undefined> {
  const bytes = await readFileIfThere(kind, path, options);
  return bytes && textOf(bytes, path);
}

/** A note without waiting; undefined where it is missing or unreadable. */
export function noteNow(path: string): string | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const status = fstatSync(file);
    return status.isFile() && status.size <= fileLimits.note ? readFileSync(file, 'utf8') : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** The bytes of a file in pieces, to its end. Throws what `openRegular` throws, and `file-access`. */
export async function* fileChunks(path: string, options: OpenOptions = {}): AsyncGenerator<Uint8Array, void, void> {
  const { handle } = await openRegular(path, options);
  try {
    yield* handle.createReadStream({ highWaterMark: 2 ** 20 }) as AsyncIterable<Uint8Array>;
  } catch (cause) {
    throw fileError(path, cause);
  } finally {
    await handle.close();
  }
}

/** The status of a path, following links; `undefined` if it does not exist. Throws `file-access`. */
export async function whatIsAt(path: string): Promise<'file' | 'folder' | 'other' | undefined> {
  try {
    const status = await stat(path);
    return status.isFile() ? 'file' : status.isDirectory() ? 'folder' : 'other';
  } catch (cause) {
    const code = systemCode(cause);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw fileError(path, cause);
  }
}

/** Throws `file-access` where the file at a path is another one than before, or was changed. */
export async function checkUnchanged(path: string, before: FileIdentity): Promise<void> {
  const status = await stat(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  if (!isSameFile(identityOf(status), before)) throw changed(path);
}

export const changed = (path: string): StableDiffusionError =>
  new StableDiffusionError('file-access', `${path} was changed or replaced after it was opened. Open it again.`);

async function checkWithin(path: string, realPath: string, folder: string): Promise<void> {
  const root = await realpath(folder).catch((cause: unknown) => {
    throw fileError(folder, cause);
  });
  if (liesIn(realPath, root)) return;
  if (liesInBlobs(realPath, root)) return;
  throw new StableDiffusionError(
    'file-unsafe',
    `${path} is a link that leads out of ${folder}, so it is not read. Put the file itself there.`,
  );
}

/** Whether a file is a blob of the Hugging Face repository of a folder: `snapshots/REV/`, or one in it. */
function liesInBlobs(path: string, folder: string): boolean {
  for (let at = folder; dirname(at) !== at; at = dirname(at))
    if (basename(dirname(at)) === 'snapshots') return liesIn(path, join(dirname(dirname(at)), 'blobs'));
  return false;
}

function liesIn(path: string, folder: string): boolean {
  const from = relative(folder, path);
  return from !== '' && from !== '..' && !from.startsWith(`..${sep}`) && !isAbsolute(from);
}

/** The error of what is no file. */
export function notRegular(path: string, status: Stats): StableDiffusionError {
  const what = status.isDirectory()
    ? 'a folder'
    : status.isFIFO()
      ? 'a named pipe'
      : status.isSocket()
        ? 'a socket'
        : 'a device';
  return new StableDiffusionError('file-access', `${path} is ${what}, and a file is needed.`);
}

async function readExactly(handle: FileHandle, size: number, path: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  for (let done = 0; done < size; ) {
    const { bytesRead } = await handle.read(bytes, done, size - done, done);
    if (bytesRead === 0) throw new StableDiffusionError('file-truncated', `${path} became shorter while it was read.`);
    done += bytesRead;
  }
  return bytes;
}

async function readUpTo(handle: FileHandle, limit: number): Promise<Uint8Array> {
  const most = Math.min(limit, 2 ** 20);
  const bytes = new Uint8Array(most);
  let done = 0;
  while (done < most) {
    const { bytesRead } = await handle.read(bytes, done, most - done, done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.slice(0, done);
}
