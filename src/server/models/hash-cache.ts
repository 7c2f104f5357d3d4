/** SHA-256 of models' files, kept in a file between runs: a file of gigabytes is read once, and again only if its size or time changes. */

import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as z from 'zod';
import { makeFolder } from '../../files/make-folder-node.ts';
import { readTextIfThere } from '../../files/open-node.ts';
import { sha256OfFile } from '../../files/sha256-node.ts';
import { writeText } from '../../files/write-file-node.ts';

export interface HashCache {
  /** What is known without reading the file. */
  known(path: string): string | undefined;
  /** The hash of a file; null for a folder. Throws Node's error for a file that cannot be read. */
  hash(path: string): Promise<string | null>;
}

const rowSchema = z.object({ size: z.number(), time: z.number(), sha256: z.string().regex(/^[0-9a-f]{64}$/) });
type Row = z.output<typeof rowSchema>;

/** Rows beyond these, of files not seen for longest, are dropped. */
const most = 10_000;

async function rowsIn(path: string | undefined): Promise<Map<string, Row>> {
  const text = path === undefined ? undefined : await readTextIfThere('text', path).catch(() => undefined);
  try {
    return new Map(Object.entries(z.record(z.string(), rowSchema).parse(JSON.parse(text ?? '{}'))));
  } catch {
    return new Map();
  }
}

/** Opens or creates the file; an unreadable one is replaced. Without a path nothing is kept. */
export async function openHashCache(path?: string): Promise<HashCache> {
  const rows = await rowsIn(path);
  const current = new Map<string, string>();
  const pending = new Map<string, Promise<string | null>>();
  let last: Promise<void> = Promise.resolve();
  const save = async (): Promise<void> => {
    if (path === undefined) return;
    await makeFolder(dirname(path));
    const text = JSON.stringify(Object.fromEntries([...rows].slice(-most)));
    await writeText(path, text, { mode: 0o600 });
  };
  const read = async (file: string): Promise<string | null> => {
    const found = await stat(file);
    if (!found.isFile()) return null;
    const row = rows.get(file);
    const isSame = row !== undefined && row.size === found.size && row.time === found.mtimeMs;
    const sha256 = isSame ? row.sha256 : await sha256OfFile(file);
    current.set(file, sha256);
    if (isSame) return sha256;
    rows.delete(file);
    rows.set(file, { size: found.size, time: found.mtimeMs, sha256 });
    last = last.then(save).catch(() => {});
    await last;
    return sha256;
  };
  return {
    known: (file) => current.get(file),
    hash(file) {
      const found = pending.get(file);
      if (found) return found;
      const work = read(file);
      pending.set(file, work);
      work.catch(() => pending.delete(file));
      return work;
    },
  };
}
