/** The entries of an operator's folder, sorted by name, for the catalogues. Hidden files are ignored. */

import { readdir } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';

export interface FolderEntry {
  /** The file's name without its ending. */
  readonly name: string;
  readonly file: string;
  readonly path: string;
}

export interface WantedEntries {
  /** File extensions in lower case, with the dot. */
  readonly endings: ReadonlySet<string>;
  /** Accepts further entries, under their complete name. */
  readonly also?: (path: string) => Promise<boolean>;
  /** Description of the entries, for messages. */
  readonly what: string;
}

/** None of no folder. Throws `file-not-found`. */
export async function folderEntries(
  folder: string | undefined,
  { endings, also, what }: WantedEntries,
): Promise<FolderEntry[]> {
  if (folder === undefined) return [];
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new StableDiffusionError('file-not-found', `The folder of ${what} ${folder} cannot be read.`, { cause });
  });
  const entries: FolderEntry[] = [];
  for (const file of names.sort()) {
    if (file.startsWith('.')) continue;
    const path = join(resolve(folder), file);
    if (endings.has(extname(file).toLowerCase())) entries.push({ name: basename(file, extname(file)), file, path });
    else if (await also?.(path)) entries.push({ name: file, file, path });
  }
  return entries;
}
