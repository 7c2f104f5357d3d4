/** The entries of an operator's folder, sorted by name, for the catalogues. Hidden files are ignored. */

import { readdir, realpath } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { whatIsAt } from '../../files/open-node.ts';
import { isHiddenName } from '../../files/hidden-name.ts';

export interface FolderEntry {
  /** The file's path from the folder, with `/`, without its ending. */
  readonly name: string;
  readonly file: string;
  readonly path: string;
}

export interface WantedEntries {
  /** File extensions in lower case, with the dot. */
  readonly endings: ReadonlySet<string>;
  /** Accepts further entries, under their complete name. */
  readonly also?: (path: string) => Promise<boolean>;
  /** Which file names with such an ending are wanted. Default: all but autoencoders that belong to a model, `NAME.vae.pt`. */
  readonly accepts?: (name: string) => boolean;
  /** Description of the entries, for messages. */
  readonly what: string;
}

/** The name of an autoencoder that belongs to the model `NAME`: `NAME.vae.pt`. */
export const isVaeName = (name: string): boolean => /\.vae\.[a-z]+$/i.test(name);
const isNoVaeName = (name: string): boolean => !isVaeName(name);

/** Deeper folders and further files are not looked at: a folder that is given by mistake, such as /, must not be walked through. */
const maximumDepth = 8;
const maximumEntries = 10_000;

/**
 * The wanted files of a folder and of the folders in it, by their path from there without the ending (`anime/x`), as A1111 and ComfyUI list
 * them. None of no folder. Throws `file-not-found`.
 */
export async function folderEntries(folder: string | undefined, wanted: WantedEntries): Promise<FolderEntry[]> {
  if (folder === undefined) return [];
  const entries: FolderEntry[] = [];
  await readdir(folder).catch((cause: unknown) => {
    throw new StableDiffusionError('file-not-found', `The folder of ${wanted.what} ${folder} cannot be read.`, {
      cause,
    });
  });
  await walk(resolve(folder), '', wanted, { entries, visited: new Set(), depth: 0 });
  return entries;
}

interface Walk {
  readonly entries: FolderEntry[];
  /** Real paths: links of folders may lead in a circle. */
  readonly visited: Set<string>;
  readonly depth: number;
}

async function walk(
  root: string,
  inside: string,
  wanted: WantedEntries,
  { entries, visited, depth }: Walk,
): Promise<void> {
  const folder = join(root, inside);
  const real = await realpath(folder).catch(() => undefined);
  if (real === undefined || visited.has(real) || depth > maximumDepth) return;
  visited.add(real);
  const names = await readdir(folder).catch(() => []);
  for (const name of names.sort()) {
    if (isHiddenName(name) || entries.length >= maximumEntries) continue;
    const file = inside === '' ? name : `${inside}/${name}`;
    const path = join(root, file);
    const ending = extname(name).toLowerCase();
    if (wanted.endings.has(ending)) {
      const { accepts = isNoVaeName } = wanted;
      if (accepts(name)) entries.push({ name: file.slice(0, -ending.length), file, path });
    } else if (await wanted.also?.(path)) entries.push({ name: file, file, path });
    else if ((await whatIsAt(path).catch(() => undefined)) === 'folder')
      await walk(root, file, wanted, { entries, visited, depth: depth + 1 });
  }
}
