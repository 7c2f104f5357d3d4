/**
 * Downloads one file: resumes a partial download, checks the digest, and renames the file only when it is complete. Several processes that need
 * the same file take turns, and the later ones find it done.
 */

import { createHash, type Hash } from 'node:crypto';
import { rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { writeError } from '../files/file-error-node.ts';
import { type Lock, takeLock } from '../files/lock-node.ts';
import { makeFolder } from '../files/make-folder-node.ts';
import { fileChunks, whatIsAt } from '../files/open-node.ts';
import { openToWrite } from '../files/open-to-write-node.ts';
import { isPage, pageInstead } from '../files/whole-answer-web.ts';
import { writeAll } from '../files/write-file-node.ts';
import { guardedFetch } from './guarded-fetch-node.ts';
import { reasonOf } from './hub-api-node.ts';

export interface Download {
  readonly url: string;
  /** The server that named the address; undefined for a person. */
  readonly from?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Path of the file. */
  readonly path: string;
  /** Path of its lock. */
  readonly lock: string;
  /** A label for messages and progress. */
  readonly label: string;
  /** Bytes, where they are known. */
  readonly size?: number | undefined;
  /** Most bytes of a file whose size is not known. Default 2^38. */
  readonly mostBytes?: number | undefined;
  /** SHA-256 (64 digits) or git's id of a blob (40 digits). */
  readonly digest?: string | undefined;
}

export interface DownloadOptions {
  readonly fetch?: typeof fetch | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called as bytes arrive; `total` if it is known. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Milliseconds before the first of the further tries; doubled for each. Default 500. */
  readonly pause?: number | undefined;
}

export interface DownloadProgress {
  readonly label: string;
  readonly done: number;
  readonly total: number | undefined;
}

const tries = 6;
/** Without a byte for so long, the connection counts as broken. */
const patience = 60_000;

/** Resolves when the file is complete. Throws `network`, `forbidden`, `not-found`, `file-corrupt`, `file-access`, `aborted`. */
export async function download(file: Download, options: DownloadOptions): Promise<void> {
  if ((await whatIsAt(file.path)) === 'file') return;
  await makeFolder(dirname(file.path));
  await makeFolder(dirname(file.lock));
  const lock = await waitForLock(file, options);
  try {
    if ((await whatIsAt(file.path)) === 'file') return;
    const partial = `${file.path}.sd.incomplete`;
    await fetchAll(file, partial, options);
    await verify(file, partial);
    await rename(partial, file.path).catch((cause: unknown) => {
      throw writeError(file.path, cause);
    });
  } finally {
    await lock.release();
  }
}

async function waitForLock({ lock, label }: Download, { signal }: DownloadOptions): Promise<Lock> {
  for (;;) {
    throwIfAborted(signal);
    try {
      return await takeLock(lock, { what: `The download of ${label}` });
    } catch (error) {
      if (!(error instanceof StableDiffusionError) || error.code !== 'busy') throw error;
      await wait(500, undefined, signal ? { signal } : {}).catch(() => undefined);
    }
  }
}

/** Tries again from where it broke off, as long as that can help. */
async function fetchAll(file: Download, partial: string, options: DownloadOptions): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(options.signal);
    const before = await sizeOf(partial);
    if (file.size !== undefined && before === file.size) return;
    if (file.size !== undefined && before > file.size) await rm(partial, { force: true });
    try {
      await fetchRest(file, partial, options);
      return;
    } catch (error) {
      if (!(error instanceof StableDiffusionError) || error.code !== 'network') throw error;
      // Progress gives a new set of tries.
      if ((await sizeOf(partial)) > before) attempt = 1;
      if (attempt >= tries || error.details['final'] === true) throw error;
      await wait(
        (options.pause ?? 500) * 2 ** (attempt - 1),
        undefined,
        options.signal ? { signal: options.signal } : {},
      ).catch(() => undefined);
    }
  }
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

async function fetchRest(file: Download, partial: string, options: DownloadOptions): Promise<void> {
  const { url, headers, label, from: namedBy } = file;
  const from = await sizeOf(partial);
  const stalled = new AbortController();
  const signals = [stalled.signal, ...(options.signal ? [options.signal] : [])];
  let timer = setTimeout(() => stalled.abort(), patience);
  try {
    const response = await guardedFetch(options.fetch, url, {
      headers: { ...headers, ...(from > 0 ? { range: `bytes=${from}-` } : {}), 'accept-encoding': 'identity' },
      signal: AbortSignal.any(signals),
      from: namedBy,
    });
    const start = await startOf(response, from, file);
    const handle = await openToWrite(partial, 'keep');
    try {
      await handle.truncate(start);
      let at = start;
      const total = file.size ?? totalOf(response, start);
      const most = file.size ?? file.mostBytes ?? 2 ** 38;
      if ((total ?? 0) > most) throw longer(label, most);
      await checkRoom(partial, (total ?? 0) - start, label);
      for await (const chunk of response.body ?? []) {
        clearTimeout(timer);
        timer = setTimeout(() => stalled.abort(), patience);
        if (at + chunk.length > most) throw longer(label, most);
        await writeAll(partial, handle, chunk, at);
        at += chunk.length;
        options.onProgress?.({ label, done: at, total });
      }
      await handle.sync();
      if (total !== undefined && at < total) throw new Error(`the connection ended after ${at} of ${total} bytes`);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (cause instanceof StableDiffusionError) throw cause;
    if (options.signal?.aborted) throw new StableDiffusionError('aborted', 'The download was cancelled.', { cause });
    throw new StableDiffusionError('network', `${label} could not be downloaded: ${reasonOf(cause)}.`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** Offset of the body: the end of the partial file, or 0 for servers that ignore ranges. */
async function startOf(response: Response, from: number, { label, size }: Download): Promise<number> {
  const { status } = response;
  if (status === 200 && isPage(response.headers)) {
    await response.body?.cancel();
    throw new StableDiffusionError('not-found', pageInstead(label));
  }
  if (status === 200) return 0;
  const [, first] = /^bytes (\d{1,16})-/.exec(response.headers.get('content-range') ?? '') ?? [];
  if (status === 206 && Number(first) === from) return from;
  await response.body?.cancel();
  if (status === 401 || status === 403)
    throw new StableDiffusionError(
      'forbidden',
      `${label} may not be downloaded (HTTP ${status}). It may need a token (HF_TOKEN, CIVITAI_TOKEN), or its terms accepted on its page.`,
    );
  if (status === 404 || status === 410)
    throw new StableDiffusionError('not-found', `${label} does not exist (HTTP ${status}).`);
  const final = status < 500 && status !== 429 && status !== 408 && status !== 416 && status !== 206;
  throw new StableDiffusionError('network', `${label} could not be downloaded: HTTP ${status}.`, {
    details: { final, size },
  });
}

function totalOf(response: Response, start: number): number | undefined {
  const length = response.headers.get('content-length');
  return length === null || response.headers.get('content-encoding') ? undefined : start + Number(length);
}

const longer = (label: string, size: number): StableDiffusionError =>
  new StableDiffusionError('file-corrupt', `${label} is longer than the ${size} bytes that it may have.`);

/** Throws `file-access` where the disk has no room for so many bytes. */
async function checkRoom(path: string, bytes: number, label: string): Promise<void> {
  const disk = await statfs(dirname(path)).catch(() => undefined);
  const free = disk ? disk.bavail * disk.bsize : Number.POSITIVE_INFINITY;
  if (bytes > free)
    throw new StableDiffusionError(
      'file-access',
      `The disk of ${dirname(path)} has room for ${free} bytes, and ${label} needs ${bytes}. Free some space.`,
    );
}

async function verify({ label, digest, size }: Download, partial: string): Promise<void> {
  const found = await sizeOf(partial);
  const hash = digest === undefined ? undefined : hashFor(digest, found);
  if (hash) for await (const chunk of fileChunks(partial)) hash.update(chunk);
  if ((size === undefined || size === found) && (!hash || hash.digest('hex') === digest?.toLowerCase())) return;
  await rm(partial, { force: true });
  throw new StableDiffusionError(
    'file-corrupt',
    `${label} was damaged on the way: its digest is not ${digest}. It was removed; download it again.`,
  );
}

function hashFor(digest: string, size: number): Hash {
  return digest.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
}
