/** The files that a caller's workflows see: the server's models, and the caller's own input, output and temp folders. */

import { mkdirSync } from 'node:fs';
import { openCheckpointAt } from '../../checkpoints/open-checkpoint-node.ts';
import { StableDiffusionError } from '../../errors.ts';
import { type DiskWorkflowFiles, openWorkflowFiles } from '../../workflow/context-node.ts';
import type { WorkflowFiles } from '../../workflow/context.ts';
import type { ModelCatalog } from '../models/model-catalog.ts';
import { diskFolder, type PictureFolderName } from './picture-folders.ts';
import { allModelKinds, modelFoldersOf, type ModelNamesOptions } from './model-names.ts';

/** Models of the server, and three folders. */
export interface FilesOptions extends ModelNamesOptions {
  readonly input: string;
  readonly output: string;
  readonly temp: string;
}

export function filesWithCatalog(options: FilesOptions): WorkflowFiles {
  const { catalog, input, output, temp } = options;
  const models = Object.fromEntries(allModelKinds.map((kind) => [kind, modelFoldersOf(kind, options)]));
  return withCatalog(openWorkflowFiles({ models, input, output, temp }), catalog);
}

export interface WorkflowFilesOptions extends ModelNamesOptions {
  /** The folder of all callers' files. */
  readonly filesFolder: string;
}

/** Files of one caller, whose folders are made. */
export function workflowFilesOf(owner: string, { filesFolder, ...models }: WorkflowFilesOptions): WorkflowFiles {
  const folderOf = (name: PictureFolderName): string => diskFolder(filesFolder, owner, name);
  const folders = { input: folderOf('input'), output: folderOf('output'), temp: folderOf('temp') };
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true, mode: 0o700 });
  return filesWithCatalog({ ...models, ...folders });
}

/** Checkpoints are those of the catalogue, wherever they lie. */
function withCatalog(files: DiskWorkflowFiles, catalog: ModelCatalog): WorkflowFiles {
  const pathOf = (name: string): string => {
    const found = catalog.list().find(({ file }) => file === name);
    if (!found)
      throw new StableDiffusionError('not-found', `There is no checkpoint ${JSON.stringify(name.slice(0, 200))}.`);
    return catalog.pathOf(found);
  };
  return {
    async lists() {
      const lists = await files.lists();
      const names = [...new Set(catalog.list().map(({ file }) => file))].sort();
      return { ...lists, names: (kind) => (kind === 'checkpoints' ? names : lists.names(kind)) };
    },
    async checkpoint(kind, name, config) {
      if (kind !== 'checkpoints') return files.checkpoint(kind, name, config);
      return openCheckpointAt(
        pathOf(name),
        config === undefined ? {} : { config: await files.path('configs', config) },
      );
    },
    weights: (kind, name) => files.weights(kind, name),
    network: (kind, name) => files.network(kind, name),
    read: (name) => files.read(name),
    digest: (name) => files.digest(name),
    place: (folder, prefix, size) => files.place(folder, prefix, size),
    write: (folder, subfolder, filename, bytes) => files.write(folder, subfolder, filename, bytes),
  };
}
