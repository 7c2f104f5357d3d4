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

/** Prompts name adapters by the file's name alone, as A1111's do; of two with one name the second keeps its folder. */
function shortNamed(entries: readonly FolderEntry[]): FolderEntry[] {
  const taken = new Set<string>();
  return entries.map((entry) => {
    const short = entry.name.split('/').at(-1) ?? entry.name;
    const name = taken.has(short) ? entry.name : short;
    taken.add(name);
    return { ...entry, name };
  });
}

/** The name under which a LoRA was trained (`ss_output_name`), by path: A1111 lets prompts use it too. */
async function aliasesOf(entries: readonly FolderEntry[]): Promise<ReadonlyMap<string, string>> {
  const aliases = new Map<string, string>();
  for (const { path } of entries) {
    if (!/\.safetensors$/i.test(path)) continue;
    // What cannot be read says so when it is used.
    const source = await openWeightsAt(path).catch(() => undefined);
    const alias = source?.metadata?.get('ss_output_name');
    await source?.close();
    if (typeof alias === 'string' && alias !== '' && alias !== 'None') aliases.set(path, alias);
  }
  return aliases;
}

/** Throws `file-not-found`. */
export async function openAdapterCatalog({
  lorasFolder,
  embeddingsFolder,
  onUnusable,
}: AdapterCatalogOptions): Promise<AdapterCatalog> {
  let loras: readonly FolderEntry[] = [];
  let aliases: ReadonlyMap<string, string> = new Map();
  let embeddings: readonly (CatalogEmbedding & { readonly path: string })[] = [];
  const catalog: AdapterCatalog = {
    loras: () => loras.map(({ name, file }) => ({ name, file })),
    embeddings: () => embeddings.map(({ name, vectors, width }) => ({ name, vectors, width })),
    loraPath(name) {
      const wanted = name.replaceAll('\\', '/');
      const found =
        loras.find((entry) => entry.name === wanted) ?? loras.find(({ path }) => aliases.get(path) === name);
      if (!found) throw new StableDiffusionError('not-found', `Unknown LoRA ${JSON.stringify(name.slice(0, 100))}.`);
      return found.path;
    },
    embeddingPaths: () => embeddings.map(({ path, name }) => ({ path, token: name })),
    async refresh() {
      loras = shortNamed(await folderEntries(lorasFolder, { endings, what: 'LoRAs' }));
      aliases = await aliasesOf(loras);
      const read: (CatalogEmbedding & { readonly path: string })[] = [];
      for (const { name, file, path } of shortNamed(
        await folderEntries(embeddingsFolder, { endings, what: 'embeddings' }),
      )) {
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
