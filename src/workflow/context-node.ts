/** A workflow's context over folders on disk: models by kind, and the folders input, output and temp. */

import { demand, fieldsOf } from '../arguments.ts';
import { mkdirSync, realpathSync, statSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, normalize, relative, resolve, sep } from 'node:path';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import { type DetectedNetwork, detectNetwork } from '../checkpoints/detect.ts';
import { openCheckpointAt } from '../checkpoints/open-checkpoint-node.ts';
import type { Engine } from '../engine/engine.ts';
import { StableDiffusionError } from '../errors.ts';
import { makeFolder } from '../files/make-folder-node.ts';
import { readFileOf } from '../files/open-node.ts';
import { writeNewFile } from '../files/write-file-node.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';
import { nodeImageCodec } from '../image/codec/codec-node.ts';
import { decodeFrames } from '../image/codec/frames-node.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { FileBytes, FilePlace, PictureFolder, WorkflowContext, WorkflowFiles } from './context.ts';
import { type FolderKind, folderKinds } from './folder-kinds.ts';
import type { NameLists } from './input-spec.ts';
import { filesIn, type ListedFile } from './list-files-node.ts';
import { NetworkPool } from './network-pool.ts';
import { filledPrefix } from './file-prefix.ts';
import { counterOf } from './numbered-name.ts';

/** Kinds of models, with the endings of their files. */
const modelEndings = ['.safetensors', '.sft', '.ckpt', '.pt', '.pt2', '.bin', '.pth', '.pkl', '.gguf', '.patch'];
const pictureEndings = ['.png', '.jpg', '.jpeg', '.webp', '.gif', '.bmp', '.tif', '.tiff', '.avif'];

export interface WorkflowFolders {
  /** Folders of models by kind; of one name the first found counts. A kind without folders has no files. */
  readonly models: Partial<Readonly<Record<FolderKind, readonly string[]>>>;
  readonly input: string;
  readonly output: string;
  readonly temp: string;
}

/** The folders below one, as ComfyUI has them: `models/checkpoints`, `input`, `output`, `temp`. */
export function workflowFolders(root: string): WorkflowFolders {
  demand(typeof root === 'string' && root !== '', "ComfyUI's folder", 'a path', root);
  const models: Record<string, readonly string[]> = {};
  const others: Readonly<Record<string, readonly string[]>> = {
    text_encoders: ['text_encoders', 'clip'],
    diffusion_models: ['unet', 'diffusion_models'],
    controlnet: ['controlnet', 't2i_adapter'],
  };
  for (const kind of modelKinds) models[kind] = (others[kind] ?? [kind]).map((name) => join(root, 'models', name));
  return { models, input: join(root, 'input'), output: join(root, 'output'), temp: join(root, 'temp') };
}

/** All kinds of models, those of nodes that others added to ComfyUI too. */
const modelKinds: readonly FolderKind[] = folderKinds.filter((kind) => !/^(?:input|output)_/.test(kind));

/** A name with its folder: `x.png [output]`. */
function annotated(name: string): { readonly folder: PictureFolder; readonly name: string } {
  for (const folder of ['output', 'input', 'temp'] as const)
    if (name.endsWith(`[${folder}]`)) return { folder, name: name.slice(0, -folder.length - 2).trimEnd() };
  return { folder: 'input', name };
}

/** The path of a name in a folder. Throws `file-unsafe` for one that leaves it. */
function pathIn(folder: string, name: string): string {
  const path = resolve(folder, name);
  if (isAbsolute(name) || name.includes('\0') || !isInside(path, folder))
    throw new StableDiffusionError('file-unsafe', `The name ${JSON.stringify(name)} leads out of its folder.`);
  return path;
}

function isInside(path: string, folder: string): boolean {
  const from = relative(resolve(folder), path);
  return from === '' || (from !== '..' && !from.startsWith(`..${sep}`) && !isAbsolute(from));
}

/** Files on disk, whose paths are known. */
export interface DiskWorkflowFiles extends WorkflowFiles {
  /** Where a model's file lies. Throws `not-found`. */
  path(kind: FolderKind, name: string): Promise<string>;
}

class DiskFiles implements DiskWorkflowFiles {
  readonly #folders: WorkflowFolders;
  readonly #now: () => Date;

  constructor(folders: WorkflowFolders, now: () => Date) {
    this.#folders = folders;
    this.#now = now;
  }

  async #models(kind: FolderKind): Promise<readonly ListedFile[]> {
    const found = new Map<string, ListedFile>();
    for (const folder of this.#folders.models[kind] ?? [])
      for (const file of await filesIn(folder, kind === 'configs' ? ['.yaml'] : modelEndings))
        if (!found.has(file.name)) found.set(file.name, file);
    return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async lists(): Promise<NameLists> {
    const { input, output } = this.#folders;
    const names = new Map<FolderKind, readonly string[]>();
    for (const kind of modelKinds)
      names.set(
        kind,
        (await this.#models(kind)).map(({ name }) => name),
      );
    const own = async (folder: string, endings: readonly string[]): Promise<readonly string[]> =>
      (await filesIn(folder, endings, { deep: false })).map(({ name }) => name);
    names.set('input_images', await own(input, pictureEndings));
    names.set('output_images', await own(output, pictureEndings));
    names.set('input_latents', await own(input, ['.latent']));
    return { names: (kind) => names.get(kind) ?? [], exists: (name) => this.#exists(name) };
  }

  #exists(given: string): boolean {
    const { folder, name } = annotated(given);
    try {
      return statSync(pathIn(this.#folders[folder], name)).isFile();
    } catch {
      return false;
    }
  }

  async path(kind: FolderKind, name: string): Promise<string> {
    const found = (await this.#models(kind)).find((file) => file.name === name);
    if (found) return found.path;
    throw new StableDiffusionError('not-found', `There is no file ${JSON.stringify(name)} in ${kind}.`);
  }

  async weights(kind: FolderKind, name: string): Promise<WeightSource> {
    return openWeightsAt(await this.path(kind, name));
  }

  async checkpoint(kind: FolderKind, name: string, config?: string): Promise<Checkpoint> {
    const path = await this.path(kind, name);
    return openCheckpointAt(path, config === undefined ? {} : { config: await this.path('configs', config) });
  }

  async network(kind: FolderKind, name: string): Promise<DetectedNetwork> {
    const source = await this.weights(kind, name);
    try {
      return detectNetwork(source);
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  async read(given: string): Promise<Uint8Array> {
    const { folder, name } = annotated(given);
    const own = this.#folders[folder];
    return readFileOf('picture', pathIn(own, name), { within: own });
  }

  async digest(name: string): Promise<string> {
    return createHash('sha256')
      .update(await this.read(name))
      .digest('hex');
  }

  async place(
    folder: PictureFolder,
    prefix: string,
    size: { readonly width: number; readonly height: number } = { width: 0, height: 0 },
  ): Promise<FilePlace> {
    const root = this.#folders[folder];
    const filled = normalize(filledPrefix(prefix, size, this.#now()));
    const name = basename(filled);
    const path = resolve(root, dirname(filled));
    if (isAbsolute(filled) || filled.includes('\0') || !isInside(path, root))
      throw new StableDiffusionError(
        'forbidden',
        `Saving image outside the output folder is not allowed. The prefix is ${JSON.stringify(prefix)}.`,
      );
    const there = await readdir(path).catch(() => []);
    const counter = there.reduce((most, file) => Math.max(most, counterOf(file, name)), 0) + 1;
    return {
      // Not as it was given: `../output` means the folder itself, and no client could ask for it.
      subfolder: relative(resolve(root), path).split(sep).join('/'),
      name,
      counter,
    };
  }

  async write(folder: PictureFolder, subfolder: string, filename: string, bytes: FileBytes) {
    const root = this.#folders[folder];
    const path = pathIn(root, join(subfolder, filename));
    await makeFolder(root);
    // A link in the folder must not lead out of it, not for a new folder either.
    if (!isInside(nearestFolder(dirname(path)), realpathSync(root)))
      throw new StableDiffusionError('forbidden', 'Saving image outside the output folder is not allowed.');
    await makeFolder(dirname(path));
    await writeNewFile(path, bytes instanceof Uint8Array ? [bytes] : bytes, { replace: folder === 'temp' });
    return { filename, subfolder, type: folder };
  }
}

/** The real path of a folder, or of the nearest above it that is there. */
function nearestFolder(path: string): string {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      return realpathSync(folder);
    } catch (cause) {
      if (dirname(folder) === folder) throw cause;
    }
  }
}

export interface WorkflowContextOptions {
  readonly folders: WorkflowFolders;
  readonly engine: Engine;
  /** Bytes of weights that stay compiled. Default 12 GiB. */
  readonly networkMemory?: number | undefined;
  readonly fullTextEncoder?: boolean | undefined;
  readonly withoutMetadata?: boolean | undefined;
  /** Default: the clock. */
  readonly now?: (() => Date) | undefined;
}

/** A context over folders. Makes the folders input, output and temp. Dispose of `networks` at the end. */
export function openWorkflowContext(options: WorkflowContextOptions): WorkflowContext {
  const given = fieldsOf(options, 'The options of openWorkflowContext', 'an object with folders');
  fieldsOf(given['folders'], 'The folders of a context', 'what workflowFolders gives');
  const { folders, engine, networkMemory, fullTextEncoder, withoutMetadata, now = () => new Date() } = options;
  for (const folder of [folders.input, folders.output, folders.temp]) mkdirSync(folder, { recursive: true });
  return {
    files: new DiskFiles(folders, now),
    networks: new NetworkPool(engine, networkMemory),
    codec: nodeImageCodec,
    decodeFrames,
    fullTextEncoder,
    withoutMetadata,
    now,
  };
}

/** The files of these folders, without an engine. */
export function openWorkflowFiles(folders: WorkflowFolders, now: () => Date = () => new Date()): DiskWorkflowFiles {
  return new DiskFiles(folders, now);
}
