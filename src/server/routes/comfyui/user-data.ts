/** `/userdata`: files that a page keeps on the server, such as saved workflows (ComfyUI app/user_manager.py). */

import * as z from 'zod';
import { StableDiffusionError } from '../../../errors.ts';
import { baseName, pathInside } from '../../comfyui/folder-path.ts';
import { spaceOf } from '../../admission/storage-quota.ts';
import type { UserFile } from '../../comfyui/user-files.ts';
import type { ServerContext } from '../../context.ts';
import { type Answer, empty, json } from '../../http/route.ts';
import { mediaTypeOf } from '../../comfyui/media-types.ts';
import { comfyRoute } from './define.ts';

const said = (text: string, status: number): Answer => ({ text, status });

const fullInfo = ({ path, size, modified, created }: UserFile): unknown => ({ path, size, modified, created });

const listing = comfyRoute({
  method: 'GET',
  path: '/userdata',
  summary: "Files in a folder of the caller's",
  query: z.object({
    dir: z.string().optional(),
    recurse: z.string().optional(),
    split: z.string().optional(),
    full_info: z.string().optional(),
  }),
  response: z.unknown(),
  async handle({ comfyui }, { owner, query }) {
    const { dir = '', recurse, split, full_info: full } = query;
    if (dir === '') return said('Directory not provided', 400);
    const folder = pathInside(dir);
    if (folder === undefined) return empty(403);
    const files = await comfyui.users.list(owner, folder, { recurse: recurse?.toLowerCase() === 'true' });
    // The caller's own folder is made with the first file.
    if (!files && (folder === '' || (await comfyui.users.info(owner, folder)))) return json([]);
    if (!files) return said('Directory not found', 404);
    const isSplit = split?.toLowerCase() === 'true';
    return json(
      files.map((file) => {
        if (full?.toLowerCase() === 'true') return fullInfo(file);
        return isSplit ? [file.path, ...file.path.split('/')] : file.path;
      }),
    );
  },
});

const listingWithFolders = comfyRoute({
  method: 'GET',
  path: '/v2/userdata',
  summary: "Files and folders in a folder of the caller's",
  query: z.object({ path: z.string().optional() }),
  response: z.unknown(),
  async handle({ comfyui }, { owner, query }) {
    const folder = pathInside(query.path ?? '');
    if (folder === undefined) return said('Invalid path requested', 400);
    const files = await comfyui.users.list(owner, folder, { recurse: false, folders: true });
    if (!files && folder !== '' && (await comfyui.users.info(owner, folder)))
      return said('Requested path is not a directory', 400);
    if (!files) return folder === '' ? json([]) : said('Requested path not found', 404);
    const within = folder === '' ? '' : `${folder}/`;
    return json(
      files.map(({ path, isFolder, size, modified }) => ({
        name: path,
        path: within + path,
        type: isFolder ? 'directory' : 'file',
        ...(isFolder ? {} : { size, modified }),
      })),
    );
  },
});

/** Pages ask for their own styles, and must see changes. */
const isStyle = (path: string): boolean => /\.(?:css|js)$|index\.json$/.test(path);

const reading = comfyRoute({
  method: 'GET',
  path: '/userdata/:file',
  summary: "A file of the caller's",
  params: z.object({ file: z.string() }),
  responseType: 'application/octet-stream',
  async handle({ comfyui }, { owner, params }) {
    const path = pathInside(params.file);
    const headers: Record<string, string> = isStyle(params.file) ? { 'cache-control': 'no-cache' } : {};
    if (path === undefined) return empty(403, headers);
    const bytes = path === '' ? undefined : await comfyui.users.read(owner, path);
    if (!bytes) return empty(404, headers);
    return { bytes, mediaType: mediaTypeOf(path), headers: { 'cache-control': 'no-cache' } };
  },
});

/** Path and information of a file that was just written. */
async function written({ comfyui }: ServerContext, owner: string, path: string, full: boolean): Promise<Answer> {
  const info = full ? await comfyui.users.info(owner, path) : undefined;
  return json(info ? fullInfo(info) : path);
}

/** The answer, or that the name is taken. */
async function unlessTaken(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StableDiffusionError && error.code === 'file-exists') return said('File already exists', 409);
    throw error;
  }
}

const writeQuery = z.object({ overwrite: z.string().optional(), full_info: z.string().optional() });

const writing = comfyRoute({
  method: 'POST',
  path: '/userdata/:file',
  summary: "Keeps a file of the caller's",
  params: z.object({ file: z.string() }),
  query: writeQuery,
  body: z.custom<Uint8Array>().optional(),
  rawBody: true,
  response: z.unknown(),
  async handle(context, { owner, params, query, body = new Uint8Array() }) {
    const path = pathInside(params.file);
    if (path === undefined || path === '') return empty(403);
    context.quota.charge(owner, spaceOf(body.length, path));
    return unlessTaken(async () => {
      await context.comfyui.users.write(owner, path, body, query.overwrite !== 'false');
      return written(context, owner, path, query.full_info?.toLowerCase() === 'true');
    });
  },
});

const moving = comfyRoute({
  method: 'POST',
  path: '/userdata/:file/move/:to',
  summary: "Renames a file of the caller's",
  params: z.object({ file: z.string(), to: z.string() }),
  query: writeQuery,
  response: z.unknown(),
  async handle(context, { owner, params, query }) {
    const [from, to] = [pathInside(params.file), pathInside(params.to)];
    if (!from || !to) return empty(403);
    const { users } = context.comfyui;
    if (!(await users.info(owner, from))) return empty(404);
    if (query.overwrite === 'false' && (await users.info(owner, to))) return said('File already exists', 409);
    context.quota.charge(owner, spaceOf(0, to));
    return unlessTaken(async () => {
      await users.move(owner, from, to, query.overwrite !== 'false');
      return written(context, owner, to, query.full_info?.toLowerCase() === 'true');
    });
  },
});

const removing = comfyRoute({
  method: 'DELETE',
  path: '/userdata/:file',
  summary: "Removes a file of the caller's",
  params: z.object({ file: z.string() }),
  responseType: 'none',
  status: 204,
  async handle({ comfyui }, { owner, params }) {
    const path = pathInside(params.file);
    if (path === undefined || baseName(path) === '') return empty(403);
    return empty((await comfyui.users.remove(owner, path)) ? 204 : 404);
  },
});

export const userDataRoutes = [...listing, ...listingWithFolders, ...reading, ...writing, ...moving, ...removing];
