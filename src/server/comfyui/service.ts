/** ComfyService: what the routes of ComfyUI's API work with. */

import { join } from 'node:path';
import type { NameLists } from '../../workflow/input-spec.ts';
import type { NodeTable } from '../../workflow/definition.ts';
import type { ModelCatalog } from '../models/model-catalog.ts';
import type { JobQueue } from '../queue/queue.ts';
import { createModelNames, type ModelNames } from './model-names.ts';
import { openDiskFolders, type PictureFolders } from './picture-folders.ts';
import { SocketHub } from './socket-hub.ts';
import { type UserFileLimits, UserFiles } from './user-files.ts';
import { workflowFilesOf } from './workflow-files.ts';

export interface ComfyService {
  readonly users: UserFiles;
  readonly folders: PictureFolders;
  readonly models: ModelNames;
  readonly nodes: NodeTable;
  /** Sockets, and workflows that wait or run. */
  readonly hub: SocketHub;
  /** The names that a caller's workflows may use, read now. */
  readonly listsOf: (owner: string) => Promise<NameLists>;
  /** The number of the next workflow: the order in which they came to this server. */
  readonly nextNumber: () => number;
  /** Make intermediate pictures where the client does not say. */
  readonly previews: boolean;
  /** The folder of ComfyUI's page, where the operator gave one. */
  readonly pageFolder: string | undefined;
}

/** Where the files of ComfyUI's API lie. */
export const comfyFilesFolder = ({ comfyuiFiles, dataFolder }: ComfyFilesOptions): string =>
  comfyuiFiles ?? join(dataFolder, 'comfyui');

interface ComfyFilesOptions {
  readonly dataFolder: string;
  readonly comfyuiFiles?: string | undefined;
}

export interface ComfyServiceOptions extends ComfyFilesOptions {
  readonly catalog: ModelCatalog;
  readonly queue: JobQueue;
  readonly nodes: NodeTable;
  readonly limits: UserFileLimits;
  /** What the server tells its clients that it can do. */
  readonly features: Readonly<Record<string, unknown>>;
  /** Callers whose workflows may wait from before. */
  readonly owners: readonly string[];
  readonly comfyuiModels?: string | undefined;
  readonly lorasFolder?: string | undefined;
  readonly embeddingsFolder?: string | undefined;
  readonly comfyuiPage?: string | undefined;
  readonly comfyuiPreviews?: boolean | undefined;
}

/** Workflows that waited or ran when the server ended. */
async function restore(hub: SocketHub, { queue, owners }: ComfyServiceOptions): Promise<number> {
  let last = -1;
  for (const owner of owners)
    for (const state of ['running', 'queued'] as const) {
      const { jobs } = await queue.list({ owner, state, source: 'comfyui', limit: 500 });
      hub.restore([...jobs].reverse());
    }
  for (const owner of owners)
    for (const { request } of hub.open(owner)) last = Math.max(last, Math.floor(Math.abs(request.number)));
  return last + 1;
}

export async function openComfyService(options: ComfyServiceOptions): Promise<ComfyService> {
  const { catalog, queue, nodes, features, comfyuiModels, lorasFolder, embeddingsFolder } = options;
  const root = comfyFilesFolder(options);
  const models = { catalog, root: comfyuiModels, lorasFolder, embeddingsFolder };
  const hub = new SocketHub(queue, features);
  let number = await restore(hub, options);
  return {
    users: new UserFiles(join(root, 'user'), options.limits),
    folders: openDiskFolders(root),
    models: createModelNames(models),
    nodes,
    hub,
    listsOf: (owner) => workflowFilesOf(owner, { ...models, filesFolder: root }).lists(),
    nextNumber: () => number++,
    previews: options.comfyuiPreviews ?? false,
    pageFolder: options.comfyuiPage,
  };
}
