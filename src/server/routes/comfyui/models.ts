/** `/models`, `/embeddings`, `/view_metadata`, `/experiment/models`: model files by ComfyUI's kinds. Where they lie is not told. */

import * as z from 'zod';
import { openWeightsAt } from '../../../formats/open-weights-node.ts';
import { isModelKind, modelFileStatus, modelKinds } from '../../comfyui/model-names.ts';
import { empty, json } from '../../http/route.ts';
import { comfyRoute } from './define.ts';

const names = z.array(z.string());

const folders = comfyRoute({
  method: 'GET',
  path: '/models',
  summary: 'Kinds of model files',
  response: names,
  handle: async () => json(modelKinds),
});

const files = comfyRoute({
  method: 'GET',
  path: '/models/:folder',
  summary: 'Model files of a kind',
  params: z.object({ folder: z.string() }),
  response: names,
  async handle({ comfyui, catalog }, { params: { folder } }) {
    if (!isModelKind(folder)) return empty(404);
    if (folder === 'checkpoints') await catalog.refresh();
    return json(await comfyui.models.names(folder));
  },
});

const embeddings = comfyRoute({
  method: 'GET',
  path: '/embeddings',
  summary: 'Names of textual inversions, as prompts use them: embedding:NAME',
  response: names,
  handle: async ({ comfyui }) =>
    json((await comfyui.models.names('embeddings')).map((name) => name.replace(/\.[^./]*$/, ''))),
});

const metadata = comfyRoute({
  method: 'GET',
  path: '/view_metadata/:folder',
  summary: "Metadata in a model's safetensors file",
  params: z.object({ folder: z.string() }),
  query: z.object({ filename: z.string().optional() }),
  response: z.record(z.string(), z.string()),
  async handle({ comfyui }, { params: { folder }, query: { filename } }) {
    if (!isModelKind(folder) || filename === undefined || !filename.endsWith('.safetensors')) return empty(404);
    const file = (await comfyui.models.files(folder)).find(({ name }) => name === filename);
    const source = file && (await openWeightsAt(file.path).catch(() => undefined));
    const texts = Object.fromEntries(
      [...(source?.metadata ?? [])].filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    );
    await source?.close();
    return Object.keys(texts).length > 0 ? json(texts) : empty(404);
  },
});

/** What the official page's model browser leaves out. */
const hidden = new Set<string>(['configs', 'custom_nodes']);

const browserFolders = comfyRoute({
  method: 'GET',
  path: '/experiment/models',
  summary: 'Kinds of model files, with the names of their folders',
  response: z.array(z.object({ name: z.string(), folders: names })),
  handle: async ({ comfyui }) =>
    json(
      modelKinds
        .filter((kind) => !hidden.has(kind))
        .map((name) => ({ name, folders: comfyui.models.folderNames(name) })),
    ),
});

const browserFiles = comfyRoute({
  method: 'GET',
  path: '/experiment/models/:folder',
  summary: 'Model files of a kind, with size and time in seconds',
  params: z.object({ folder: z.string() }),
  response: z.array(z.unknown()),
  async handle({ comfyui }, { params: { folder } }) {
    if (!isModelKind(folder)) return empty(404);
    const found = await comfyui.models.files(folder);
    const notes = await Promise.all(
      found.map(async (file) => {
        const status = await modelFileStatus(file);
        return (
          status && {
            name: file.name,
            pathIndex: file.folder,
            modified: status.seconds,
            created: status.seconds,
            size: status.size,
          }
        );
      }),
    );
    return json(notes.filter((note) => note !== undefined));
  },
});

export const modelRoutes = [...folders, ...files, ...embeddings, ...metadata, ...browserFolders, ...browserFiles];
