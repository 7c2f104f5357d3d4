/** ModelNames: the model files by ComfyUI's kinds. Checkpoints are those of the catalogue; the others lie in folders of the operator's. */

import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type FolderEntry, folderEntries } from '../models/folder-entries.ts';
import type { ModelCatalog } from '../models/model-catalog.ts';

/** ComfyUI's kinds in its order, each with its folders in `models`. */
const kinds = {
  checkpoints: ['checkpoints'],
  configs: ['configs'],
  loras: ['loras'],
  vae: ['vae'],
  text_encoders: ['text_encoders', 'clip'],
  diffusion_models: ['unet', 'diffusion_models'],
  clip_vision: ['clip_vision'],
  style_models: ['style_models'],
  embeddings: ['embeddings'],
  diffusers: ['diffusers'],
  vae_approx: ['vae_approx'],
  controlnet: ['controlnet', 't2i_adapter'],
  gligen: ['gligen'],
  upscale_models: ['upscale_models'],
  custom_nodes: [],
  hypernetworks: ['hypernetworks'],
  photomaker: ['photomaker'],
  classifiers: ['classifiers'],
  model_patches: ['model_patches'],
  audio_encoders: ['audio_encoders'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

/** Kinds of nodes that others added to ComfyUI: files have them, its own lists do not. */
const addedKinds = { ipadapter: ['ipadapter'], inpaint: ['inpaint'] } as const;

const folders = { ...kinds, ...addedKinds } as const;

export type ModelKind = keyof typeof folders;

/** As ComfyUI lists them. */
export const modelKinds = Object.keys(kinds) as readonly ModelKind[];

export const allModelKinds = Object.keys(folders) as readonly ModelKind[];

export const isModelKind = (name: string): name is ModelKind => Object.hasOwn(folders, name);

const endings = new Set(['.safetensors', '.ckpt', '.pt', '.pt2', '.bin', '.pth', '.pkl', '.sft', '.gguf', '.patch']);
const configEndings = new Set(['.yaml', '.yml']);

export interface ModelFile {
  /** From the folder, with `/` and its ending. */
  readonly name: string;
  readonly path: string;
  /** Which of the kind's folders. */
  readonly folder: number;
}

export interface ModelNames {
  /** Files of a kind, sorted by name. */
  files(kind: ModelKind): Promise<readonly ModelFile[]>;
  names(kind: ModelKind): Promise<readonly string[]>;
  /** How the folders of a kind are called, without where they lie. */
  folderNames(kind: ModelKind): readonly string[];
}

export interface ModelNamesOptions {
  readonly catalog: ModelCatalog;
  /** ComfyUI's folder `models`. */
  readonly root?: string | undefined;
  readonly lorasFolder?: string | undefined;
  readonly embeddingsFolder?: string | undefined;
}

/** Folders on the disk of a kind. */
export function modelFoldersOf(kind: ModelKind, options: Omit<ModelNamesOptions, 'catalog'>): readonly string[] {
  const { root, lorasFolder, embeddingsFolder } = options;
  const own = kind === 'loras' ? lorasFolder : kind === 'embeddings' ? embeddingsFolder : undefined;
  const inRoot = root === undefined ? [] : folders[kind].map((name) => join(root, name));
  const found = [...(own === undefined ? [] : [own]), ...inRoot].filter((path) => existsSync(path));
  return [...new Set(found)];
}

export function createModelNames(options: ModelNamesOptions): ModelNames {
  const { catalog } = options;
  const inFolders = async (kind: ModelKind): Promise<ModelFile[]> => {
    const wanted = { endings: kind === 'configs' ? configEndings : endings, what: kind };
    const found: ModelFile[] = [];
    for (const [folder, path] of modelFoldersOf(kind, options).entries()) {
      const entries: FolderEntry[] = await folderEntries(path, wanted);
      found.push(...entries.map(({ file, path: at }) => ({ name: file, path: at, folder })));
    }
    return found;
  };
  const files = async (kind: ModelKind): Promise<readonly ModelFile[]> => {
    const listed =
      kind === 'checkpoints'
        ? catalog.list().map((model) => ({ name: model.file, path: catalog.pathOf(model), folder: 0 }))
        : await inFolders(kind);
    const byName = new Map<string, ModelFile>();
    for (const file of listed) if (!byName.has(file.name)) byName.set(file.name, file);
    return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  };
  return {
    files,
    names: async (kind) => (await files(kind)).map(({ name }) => name),
    folderNames: (kind) => folders[kind].map((name) => `models/${name}`),
  };
}

/** Size and time of a model's file. */
export async function modelFileStatus({ path }: ModelFile): Promise<{ size: number; seconds: number } | undefined> {
  const status = await stat(path).catch(() => undefined);
  return status && { size: status.size, seconds: status.mtimeMs / 1000 };
}
