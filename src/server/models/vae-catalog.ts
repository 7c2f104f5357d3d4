/** VaeCatalog: separate autoencoders by their files' names, as A1111 lists them (modules/sd_vae.py): those of a folder, and `NAME.vae.pt` among the models. */

import { basename } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { type FolderEntry, folderEntries, isVaeName } from './folder-entries.ts';

export interface CatalogVae {
  /** The file's name, with its ending. */
  readonly name: string;
  /** Its path below the folder. */
  readonly file: string;
}

export interface VaeCatalog {
  list(): readonly CatalogVae[];
  /** By the file's name, with or without its ending. */
  find(name: string): CatalogVae | undefined;
  /** For loading only. Throws `not-found`. */
  pathOf(name: string): string;
  /** Rescans the folders. */
  refresh(): Promise<void>;
}

export interface VaeCatalogOptions {
  readonly vaesFolder?: string | undefined;
  readonly modelsFolder?: string | undefined;
}

const endings = new Set(['.safetensors', '.sft', '.pt', '.pth', '.ckpt', '.bin']);

/** Throws `file-not-found`. */
export async function openVaeCatalog({ vaesFolder, modelsFolder }: VaeCatalogOptions): Promise<VaeCatalog> {
  let entries: readonly FolderEntry[] = [];
  const find = (wanted: string): FolderEntry | undefined =>
    entries.find(({ file }) => basename(file) === wanted) ??
    entries.find(({ name, file }) => [name, basename(name), file].includes(wanted.replaceAll('\\', '/')));
  const catalog: VaeCatalog = {
    list: () => entries.map(({ file }) => ({ name: basename(file), file })),
    find(name) {
      const found = find(name);
      return found && { name: basename(found.file), file: found.file };
    },
    pathOf(name) {
      const found = find(name);
      if (found) return found.path;
      throw new StableDiffusionError('not-found', `Unknown autoencoder ${JSON.stringify(name.slice(0, 100))}.`);
    },
    async refresh() {
      const what = 'autoencoders';
      const own = await folderEntries(vaesFolder, { endings, what, accepts: () => true });
      const besides = await folderEntries(modelsFolder, { endings, what, accepts: isVaeName });
      const paths = new Set(own.map(({ path }) => path));
      entries = [...own, ...besides.filter(({ path }) => !paths.has(path))];
    },
  };
  await catalog.refresh();
  return catalog;
}
