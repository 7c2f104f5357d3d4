/** BlobStore in a folder: `ab/abcdef…`, written beside and renamed, so that a file is whole or not there. */

import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { StableDiffusionError } from '../../errors.ts';
import { type BlobStore, blobId, blobIdSchema } from './blob-store.ts';

async function writeWhole(folder: string, path: string, bytes: Uint8Array, flush: boolean): Promise<void> {
  const temporary = join(folder, `${randomUUID()}.part`);
  try {
    await mkdir(folder, { recursive: true });
    const file = await open(temporary, 'wx', 0o600);
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
    throw new StableDiffusionError('file-access', full ? 'The disk of the picture store is full. Free some space.' : 'The picture store could not be written.', { cause });
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
    return blobIdSchema.safeParse(id).success && (await stat(pathOf(id)).then((found) => found.isFile(), () => false));
  };
  const flushing = new Set<Promise<void>>();
  return {
    async put(bytes, { flush = 'now' } = {}) {
      const id = blobId(bytes);
      const moment = new Date(now());
      if (await has(id)) await utimes(pathOf(id), moment, moment).catch(() => {});
      else {
        await writeWhole(folderOf(id), pathOf(id), bytes, flush === 'now');
        if (flush === 'soon') {
          const done = flushSoon(pathOf(id)).finally(() => flushing.delete(done));
          flushing.add(done);
        }
      }
      return id;
    },
    async get(id) {
      if (!(await has(id))) return undefined;
      const bytes = await readFile(pathOf(id)).catch(() => undefined);
      return bytes && blobId(bytes) === id ? new Uint8Array(bytes) : undefined;
    },
    has,
    async prune(before) {
      let removed = 0;
      for (const part of await readdir(folder).catch(() => [])) {
        if (!/^[0-9a-f]{2}$/.test(part)) continue;
        for (const name of await readdir(join(folder, part)).catch(() => [])) {
          const path = join(folder, part, name);
          const found = await stat(path).catch(() => undefined);
          if (!found || found.mtimeMs >= before) continue;
          await rm(path, { force: true });
          removed++;
        }
      }
      return removed;
    },
    async close() {
      await Promise.all(flushing);
    },
  };
}
