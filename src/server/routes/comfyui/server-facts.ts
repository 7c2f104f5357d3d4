/** What clients and pages ask about the server before they send a workflow: features, memory, extensions, folders. */

import { readdir } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import { isModelKind, modelKinds } from '../../comfyui/model-names.ts';
import { isPictureFolder } from '../../comfyui/picture-folders.ts';
import type { ServerContext } from '../../context.ts';
import { empty, json } from '../../http/route.ts';
import { comfyRoute } from './define.ts';

/** The version whose API this is. Clients and the page compare it. */
const version = { comfyui: '0.3.64', page: '1.27.10', templates: '0.1.95' };

/** Features that the server tells clients, here and over the socket. */
export const serverFeatures = ({ limits }: Pick<ServerContext, 'limits'>) => ({
  supports_preview_metadata: true,
  max_upload_size: limits.bodyBytes,
});

const features = comfyRoute({
  method: 'GET',
  path: '/features',
  summary: 'Features of the server',
  response: z.unknown(),
  handle: async (context) => json(serverFeatures(context)),
});

const stats = comfyRoute({
  method: 'GET',
  path: '/system_stats',
  summary: 'Memory, and the version of the API',
  response: z.unknown(),
  async handle(context) {
    const [total, free] = [totalmem(), freemem()];
    const memory = { vram_total: total, vram_free: free, torch_vram_total: total, torch_vram_free: free };
    return json({
      system: {
        os: process.platform === 'win32' ? 'nt' : 'posix',
        ram_total: total,
        ram_free: free,
        comfyui_version: version.comfyui,
        required_frontend_version: version.page,
        installed_templates_version: version.templates,
        required_templates_version: version.templates,
        python_version: `none: stable-diffusion-ts ${context.version} on Node ${process.versions.node}`,
        pytorch_version: 'none: ONNX Runtime',
        embedded_python: false,
        argv: [],
      },
      devices: [{ name: 'cpu', type: 'cpu', index: null, ...memory }],
    });
  },
});

/** Scripts of the page's own extensions, in its folder `extensions`. */
async function extensionsOf(folder: string | undefined): Promise<readonly string[]> {
  if (folder === undefined) return [];
  const found = await readdir(join(folder, 'extensions'), { recursive: true }).catch(() => []);
  return found
    .filter((file) => file.endsWith('.js'))
    .map((file) => `/extensions/${file.replaceAll('\\', '/')}`)
    .sort();
}

const extensions = comfyRoute({
  method: 'GET',
  path: '/extensions',
  summary: "Scripts of the page's extensions",
  response: z.array(z.string()),
  handle: async ({ comfyui }) => json(await extensionsOf(comfyui.pageFolder)),
});

/** Things of custom nodes that the page asks for, and there are none of. */
const nothing = [
  { path: '/workflow_templates', name: 'Templates' },
  { path: '/i18n', name: 'Translations' },
  { path: '/global_subgraphs', name: 'Subgraphs' },
].flatMap(({ path, name }) =>
  comfyRoute({
    method: 'GET',
    path,
    summary: `${name} of custom nodes (always empty)`,
    response: z.unknown(),
    handle: async () => json({}),
  }),
);

const logs = comfyRoute(
  {
    method: 'GET',
    path: '/internal/logs/raw',
    summary: 'The log of the terminal (always empty: the log is the operator’s)',
    response: z.unknown(),
    handle: async () => json({ entries: [], size: { cols: 80, rows: 24 } }),
  },
  { here: true },
);

const folderPaths = comfyRoute(
  {
    method: 'GET',
    path: '/internal/folder_paths',
    summary: 'Names of the folders of each kind of model',
    response: z.unknown(),
    handle: async ({ comfyui }) =>
      json(Object.fromEntries(modelKinds.map((kind) => [kind, comfyui.models.folderNames(kind)]))),
  },
  { here: true },
);

const folderFiles = comfyRoute(
  {
    method: 'GET',
    path: '/internal/files/:folder',
    summary: "Files in the caller's input, output or temp folder",
    params: z.object({ folder: z.string() }),
    response: z.array(z.string()),
    async handle({ comfyui }, { owner, params: { folder } }) {
      if (isPictureFolder(folder))
        return json((await comfyui.folders.list(owner, folder)).filter((path) => !path.includes('/')));
      return isModelKind(folder) ? json(await comfyui.models.names(folder)) : empty(400);
    },
  },
  { here: true },
);

export const serverFactRoutes = [
  ...features,
  ...stats,
  ...extensions,
  ...nothing,
  ...logs,
  ...folderPaths,
  ...folderFiles,
];
