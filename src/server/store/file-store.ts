/** BlobStore in a folder: `ab/abcdef…`, written beside and renamed, so that a file is whole or not there. */

import { type FileHandle, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { StableDiffusionError } from '../../errors.ts';
import { makeFolder } from '../../files/make-folder-node.ts';
import { type BlobStore, blobId, blobIdOf, blobIdSchema } from './blob-store.ts';

/** A new file; its folder is made where it is the first there. */
async function create(folder: string, path: string): Promise<FileHandle> {
  const begin = (): Promise<FileHandle> => open(path, 'wx', 0o600);
  return begin().catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    await makeFolder(folder);
    return begin();
  });
}

/** What was being written: its writer may have ended. */
const partPattern = /^[0-9a-f-]{36}\.part$/;

async function writeWhole(folder: string, path: string, bytes: Uint8Array, flush: boolean): Promise<void> {
  const temporary = join(folder, `${randomUUID()}.part`);
  try {
    const file = await create(folder, temporary);
    try {
      await file.writeFile(bytes);
      if (flush) await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {});
    const full = (cause as NodeJS.ErrnoException).code === 'ENOSPC';
    throw new StableDiffusionError(
      'file-access',
      full ? 'The disk of the picture store is full. Free some space.' : 'The picture store could not be written.',
      { cause },
    );
  }
}

/** Brings a file that is written to the disk. Where that fails the file is damaged at worst, which `get` sees. */
async function flushSoon(path: string): Promise<void> {
  const file = await open(path, 'r+').catch(() => undefined);
  await file?.sync().catch(() => {});
  await file?.close().catch(() => {});
}

/** Opens a folder as a store. */
export function openFileStore(folder: string, now: () => number = Date.now): BlobStore {
  const folderOf = (id: string): string => join(folder, blobIdSchema.parse(id).slice(0, 2));
  const pathOf = (id: string): string => join(folderOf(id), id);
  const has = async (id: string): Promise<boolean> => {
    return (
      blobIdSchema.safeParse(id).success &&
      (await stat(pathOf(id)).then(
        (found) => found.isFile(),
        () => false,
      ))
    );
  };
  /** What is on its way to the disk: most callers ask for it at once. */
  const flushing = new Map<string, { readonly bytes: Uint8Array; readonly done: Promise<void> }>();
  return {
    async put(bytes, { flush = 'now' } = {}) {
      const id = blobId(bytes);
      const moment = new Date(now());
      if (await has(id)) await utimes(pathOf(id), moment, moment).catch(() => {});
      else {
        await writeWhole(folderOf(id), pathOf(id), bytes, flush === 'now');
        if (flush === 'soon')
          flushing.set(id, { bytes, done: flushSoon(pathOf(id)).finally(() => flushing.delete(id)) });
      }
      return id;
    },
    async get(id) {
      const held = flushing.get(id);
      if (held) return held.bytes.slice();
      if (!(await has(id))) return undefined;
      const bytes = await readFile(pathOf(id)).catch(() => undefined);
      return bytes && (await blobIdOf(bytes)) === id ? new Uint8Array(bytes) : undefined;
    },
    has,
    async prune(before) {
      let removed = 0;
      for (const part of await readdir(folder).catch(() => [])) {
        if (!/^[0-9a-f]{2}$/.test(part)) continue;
        for (const name of await readdir(join(folder, part)).catch(() => [])) {
          if (!blobIdSchema.safeParse(name).success && !partPattern.test(name)) continue;
          const path = join(folder, part, name);
          const found = await stat(path).catch(() => undefined);
          if (!found?.isFile() || found.mtimeMs >= before) continue;
          await rm(path, { force: true });
          removed++;
        }
      }
      return removed;
    },
    async close() {
      await Promise.all([...flushing.values()].map(({ done }) => done));
    },
  };
}
