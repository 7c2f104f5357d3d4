/** ModelCatalog: the available checkpoints by name. Callers use names; paths stay in here. */

import { stat } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { type FolderEntry, folderEntries } from './folder-entries.ts';
import { type HashCache, openHashCache } from './hash-cache.ts';

export interface CatalogModel {
  /** The file's name without its ending. */
  readonly name: string;
  /** The file's name. */
  readonly file: string;
  /** A1111's title: the file's name, and the first ten digits of its hash once that is known. */
  readonly title: string;
  /** SHA-256 of the file, once it has been read; a folder has none. */
  readonly sha256: string | null;
}

export interface ModelCatalog {
  list(): readonly CatalogModel[];
  /** By name, file name, title or hash; undefined means the default. Throws `not-found`. */
  find(name: string | undefined): CatalogModel;
  /** Path, for loading only. */
  pathOf(model: CatalogModel): string;
  /** Rescans the folder. */
  refresh(): Promise<void>;
  /** Reads a file whole to know its hash. */
  hash(model: CatalogModel): Promise<string | null>;
  /** Reads the files of all models, one after the other, the default first; stops at the signal. Files that cannot be read are passed over. */
  hashAll(signal?: AbortSignal): Promise<void>;
}

export interface ModelCatalogOptions {
  /** A checkpoint or diffusers folder that is always there, and the default. */
  readonly model: string;
  /** A folder of further ones. */
  readonly folder?: string | undefined;
  /** Default: one that keeps nothing. */
  readonly hashes?: HashCache | undefined;
}

const endings = new Set(['.safetensors', '.ckpt', '.gguf']);

/** True of a folder in diffusers' layout. */
export async function isFolderModel(path: string): Promise<boolean> {
  return stat(join(path, 'model_index.json')).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** The models of a folder and of the folders in it. Throws `file-not-found`. */
export const modelEntries = (folder: string | undefined): Promise<FolderEntry[]> =>
  folderEntries(folder === undefined ? undefined : resolve(folder), { endings, also: isFolderModel, what: 'models' });

/** Throws `file-not-found`. */
export async function openModelCatalog({ model, folder, hashes: given }: ModelCatalogOptions): Promise<ModelCatalog> {
  const first = resolve(model);
  const found = await stat(first).catch((cause: unknown) => {
    throw new StableDiffusionError('file-not-found', `The model ${model} does not exist.`, { cause });
  });
  const own: FolderEntry = {
    name: found.isFile() ? basename(first, extname(first)) : basename(first),
    file: basename(first),
    path: first,
  };
  let entries: readonly FolderEntry[] = [own];
  const hashes = given ?? (await openHashCache());
  const view = ({ name, file, path }: FolderEntry): CatalogModel => {
    const sha256 = hashes.known(path) ?? null;
    return { name, file, sha256, title: sha256 ? `${file} [${sha256.slice(0, 10)}]` : file };
  };
  const entryOf = (wanted: CatalogModel): FolderEntry => entries.find(({ name }) => name === wanted.name) ?? own;
  const catalog: ModelCatalog = {
    list: () => entries.map(view),
    find(name) {
      if (name === undefined || name === '') return view(own);
      const wanted = name.replace(/ \[[0-9a-f]+\]$/, '');
      const match = entries.find(
        (entry) =>
          [entry.name, entry.file].includes(wanted) ||
          [hashes.known(entry.path), hashes.known(entry.path)?.slice(0, 10)].includes(name),
      );
      if (match) return view(match);
      throw new StableDiffusionError(
        'not-found',
        `Unknown model ${JSON.stringify(name.slice(0, 200))}. Available: ${entries.map((entry) => entry.name).join(', ')}.`,
      );
    },
    pathOf: (wanted) => entryOf(wanted).path,
    async refresh() {
      const listed = await modelEntries(folder);
      const others = listed.filter(({ path }) => path !== first);
      const taken = new Set([own.name]);
      // If two files have the same name (a.ckpt, a.safetensors), the second is listed by its file name.
      entries = [
        own,
        ...others.map((entry): FolderEntry => {
          const name = taken.has(entry.name) ? entry.file : entry.name;
          taken.add(name);
          return { ...entry, name };
        }),
      ];
    },
    hash: (wanted) => hashes.hash(entryOf(wanted).path),
    async hashAll(signal) {
      for (const { path } of entries) {
        if (signal?.aborted) return;
        await hashes.hash(path).catch(() => {});
      }
    },
  };
  await catalog.refresh();
  return catalog;
}
