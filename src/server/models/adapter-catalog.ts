/** AdapterCatalog: the LoRAs and textual inversions in the operator's folders, by their files' names. Callers never see or give a path. */

import { StableDiffusionError } from '../../errors.ts';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { readEmbeddings } from '../../adapters/textual-inversion.ts';
import { type FolderEntry, folderEntries } from './folder-entries.ts';

export interface CatalogLora {
  /** The file's name without its extension, as in `<lora:NAME:0.8>`. */
  readonly name: string;
  readonly file: string;
}

export interface CatalogEmbedding {
  /** The file's name without its extension: its word in prompts. */
  readonly name: string;
  /** Rows it takes, and their width. */
  readonly vectors: number;
  readonly width: number;
}

export interface AdapterCatalog {
  loras(): readonly CatalogLora[];
  embeddings(): readonly CatalogEmbedding[];
  /** For loading only. Throws `not-found`. */
  loraPath(name: string): string;
  embeddingPaths(): readonly { readonly path: string; readonly token: string }[];
  /** Rescans the folders. */
  refresh(): Promise<void>;
}

export interface AdapterCatalogOptions {
  readonly lorasFolder?: string | undefined;
  readonly embeddingsFolder?: string | undefined;
  /** A file that is not a textual inversion. */
  readonly onUnusable: (file: string, error: unknown) => void;
}

const endings = new Set(['.safetensors', '.pt', '.pth', '.bin', '.ckpt']);

/** Throws `file-not-found`. */
export async function openAdapterCatalog({
  lorasFolder,
  embeddingsFolder,
  onUnusable,
}: AdapterCatalogOptions): Promise<AdapterCatalog> {
  let loras: readonly FolderEntry[] = [];
  let embeddings: readonly (CatalogEmbedding & { readonly path: string })[] = [];
  const catalog: AdapterCatalog = {
    loras: () => loras.map(({ name, file }) => ({ name, file })),
    embeddings: () => embeddings.map(({ name, vectors, width }) => ({ name, vectors, width })),
    loraPath(name) {
      const found = loras.find((entry) => entry.name === name);
      if (!found) throw new StableDiffusionError('not-found', `Unknown LoRA ${JSON.stringify(name.slice(0, 100))}.`);
      return found.path;
    },
    embeddingPaths: () => embeddings.map(({ path, name }) => ({ path, token: name })),
    async refresh() {
      loras = await folderEntries(lorasFolder, { endings, what: 'LoRAs' });
      const read: (CatalogEmbedding & { readonly path: string })[] = [];
      for (const { name, file, path } of await folderEntries(embeddingsFolder, { endings, what: 'embeddings' })) {
        try {
          const source = await openWeightsAt(path);
          const [embedding] = await readEmbeddings(source, { token: name }).finally(() => source.close());
          const [vectors = 0, width = 0] = embedding?.vectors.shape ?? [];
          read.push({ name, vectors, width, path });
        } catch (error) {
          onUnusable(file, error);
        }
      }
      embeddings = read;
    },
  };
  await catalog.refresh();
  return catalog;
}
