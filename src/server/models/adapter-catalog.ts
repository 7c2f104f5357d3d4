/** AdapterCatalog: the LoRAs and textual inversions in the operator's folders, by their files' names. Callers never see or give a path. */

import { StableDiffusionError } from '../../errors.ts';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { embeddingSize } from '../../adapters/textual-inversion.ts';
import { type FolderEntry, folderEntries } from './folder-entries.ts';
import { readSidecar, type Sidecar } from './sidecars.ts';

export interface CatalogLora extends Sidecar {
  /** The file's name without its extension, as in `<lora:NAME:0.8>`. */
  readonly name: string;
  readonly file: string;
  /** The name under which it was trained (`ss_output_name`): A1111 lets prompts use it too. */
  readonly alias: string | undefined;
  /** The texts in the file's header. */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface CatalogEmbedding extends Sidecar {
  /** The file's name without its extension: its word in prompts. */
  readonly name: string;
  /** Rows it takes, and their width, that of both text encoders together for SDXL. */
  readonly vectors: number;
  readonly width: number;
}

export interface CatalogFile {
  /** The file's name without its extension. */
  readonly name: string;
  readonly file: string;
}

export interface AdapterCatalog {
  loras(): readonly CatalogLora[];
  embeddings(): readonly CatalogEmbedding[];
  hypernetworks(): readonly CatalogFile[];
  /** The LoRA that a prompt means, by its name or alias. */
  findLora(name: string): CatalogLora | undefined;
  /** For loading only. Throws `not-found`. */
  loraPath(name: string): string;
  /** For loading only. Throws `not-found`. */
  hypernetworkPath(name: string): string;
  /** For loading only: those of a width. */
  embeddingPaths(width: number | undefined): readonly { readonly path: string; readonly token: string }[];
  /** Rescans the folders. */
  refresh(): Promise<void>;
}

export interface AdapterCatalogOptions {
  readonly lorasFolder?: string | undefined;
  readonly embeddingsFolder?: string | undefined;
  readonly hypernetworksFolder?: string | undefined;
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

/** Characters of a file's texts that are shown. */
const metadataLength = 2 ** 16;

/** The texts in the header of a LoRA, as far as they are short. */
async function headerOf(path: string): Promise<Readonly<Record<string, string>>> {
  if (!/\.safetensors$/i.test(path)) return {};
  // What cannot be read says so when it is used.
  const source = await openWeightsAt(path).catch(() => undefined);
  const texts: Record<string, string> = {};
  let left = metadataLength;
  for (const [name, value] of source?.metadata ?? []) {
    if (typeof value !== 'string' || name.length + value.length > left) continue;
    left -= name.length + value.length;
    texts[name] = value;
  }
  await source?.close();
  return texts;
}

type Found<T> = T & { readonly path: string };

async function catalogLora({ name, file, path }: FolderEntry): Promise<Found<CatalogLora>> {
  const metadata = await headerOf(path);
  const { ss_output_name: trained = 'None' } = metadata;
  return {
    name,
    file,
    path,
    alias: trained === '' || trained === 'None' ? undefined : trained,
    metadata,
    ...(await readSidecar(path)),
  };
}

const withoutPath = <T>({ path: _path, ...shown }: Found<T>) => shown;

/** Throws `file-not-found`. */
export async function openAdapterCatalog({
  lorasFolder,
  embeddingsFolder,
  hypernetworksFolder,
  onUnusable,
}: AdapterCatalogOptions): Promise<AdapterCatalog> {
  let loras: readonly Found<CatalogLora>[] = [];
  let embeddings: readonly Found<CatalogEmbedding>[] = [];
  let hypernetworks: readonly Found<CatalogFile>[] = [];
  const find = (name: string): Found<CatalogLora> | undefined => {
    const wanted = name.replaceAll('\\', '/');
    return loras.find((entry) => entry.name === wanted) ?? loras.find(({ alias }) => alias === name);
  };
  const catalog: AdapterCatalog = {
    loras: () => loras.map(withoutPath),
    embeddings: () => embeddings.map(withoutPath),
    findLora: find,
    loraPath(name) {
      const found = find(name);
      if (!found) throw new StableDiffusionError('not-found', `Unknown LoRA ${JSON.stringify(name.slice(0, 100))}.`);
      return found.path;
    },
    hypernetworks: () => hypernetworks.map(({ name, file }) => ({ name, file })),
    hypernetworkPath(wanted) {
      const found = hypernetworks.find(({ name }) => name === wanted);
      if (!found)
        throw new StableDiffusionError('not-found', `Unknown hypernetwork ${JSON.stringify(wanted.slice(0, 100))}.`);
      return found.path;
    },
    embeddingPaths: (width) =>
      embeddings.filter((one) => one.width === width).map(({ path, name }) => ({ path, token: name })),
    async refresh() {
      const listed: Found<CatalogLora>[] = [];
      for (const entry of shortNamed(await folderEntries(lorasFolder, { endings, what: 'LoRAs' })))
        listed.push(await catalogLora(entry));
      loras = listed;
      hypernetworks = shortNamed(await folderEntries(hypernetworksFolder, { endings, what: 'hypernetworks' }));
      const read: Found<CatalogEmbedding>[] = [];
      for (const { name, file, path } of shortNamed(
        await folderEntries(embeddingsFolder, { endings, what: 'embeddings' }),
      )) {
        try {
          const source = await openWeightsAt(path);
          try {
            read.push({ name, ...embeddingSize(source), path, ...(await readSidecar(path)) });
          } finally {
            await source.close();
          }
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
