/** The routes of comfyui-tooling-nodes that Krita AI Diffusion calls: pictures by id, what a model file is, languages, shared workflows. */

import * as z from 'zod';
import { readFamily } from '../../comfyui/model-family.ts';
import { isModelKind } from '../../comfyui/model-names.ts';
import { spaceOf } from '../../admission/storage-quota.ts';
import { cachedPictureFolder, isPictureId } from '../../../workflow/cached-pictures.ts';
import { json } from '../../http/route.ts';
import { comfyRoute } from './define.ts';

const here = { here: true };
const idParams = z.object({ id: z.string() });
const pathOf = (id: string): string => `${cachedPictureFolder}/${id}`;

/** By the first bytes of the file. */
function mediaTypeOf([first, second]: Uint8Array): string {
  if (first === 0x89 && second === 0x50) return 'image/png';
  if (first === 0xff && second === 0xd8) return 'image/jpeg';
  return first === 0x52 && second === 0x49 ? 'image/webp' : 'application/octet-stream';
}

const fetched = comfyRoute(
  {
    method: 'GET',
    path: '/api/etn/image/:id',
    summary: 'A picture that a workflow kept (ETN_SaveImageCache)',
    params: idParams,
    responseType: 'application/octet-stream',
    async handle({ comfyui }, { owner, params: { id } }) {
      const bytes = isPictureId(id) ? await comfyui.folders.read(owner, 'temp', pathOf(id)) : undefined;
      return bytes ? { bytes, mediaType: mediaTypeOf(bytes) } : json({ error: 'Image not found' }, 404);
    },
  },
  here,
);

const sent = comfyRoute(
  {
    method: 'PUT',
    path: '/api/etn/image/:id',
    summary: 'Keeps a picture for workflows (ETN_LoadImageCache): the bytes of its file',
    params: idParams,
    body: z.custom<Uint8Array>().optional(),
    rawBody: true,
    takesPictures: true,
    status: 201,
    async handle(context, { owner, params: { id }, body }) {
      if (!isPictureId(id) || !body) return json({ error: 'Invalid id, or no picture' }, 400);
      context.quota.charge(owner, spaceOf(body.length));
      const isNew = await context.comfyui.folders.write(owner, 'temp', pathOf(id), body, { replace: false });
      return isNew ? json({ status: 'success' }, 201) : json({ status: 'cached' });
    },
  },
  here,
);

const page = z.object({
  offset: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(0).max(1000).optional(),
});

const models = comfyRoute(
  {
    method: 'GET',
    path: '/api/etn/model_info/:folder',
    summary: 'What the model files of a kind are: sd15, sd20, sdxl, …',
    params: z.object({ folder: z.string() }),
    query: page,
    response: z.record(z.string(), z.unknown()),
    async handle({ comfyui, catalog }, { params: { folder }, query: { offset, limit } }) {
      if (!isModelKind(folder)) return json({ error: `Invalid folder path: ${folder}` }, 400);
      if (folder === 'checkpoints') await catalog.refresh();
      const files = await comfyui.models.files(folder);
      const wanted = files.slice(offset, offset + (limit ?? 1000));
      const known: Record<string, unknown> = {};
      for (const { name, path } of wanted) known[name] = await readFamily(path);
      return json(
        limit === undefined ? known : { ...known, _meta: { offset, count: wanted.length, total: files.length } },
      );
    },
  },
  here,
);

const languages = comfyRoute(
  {
    method: 'GET',
    path: '/api/etn/languages',
    summary: 'Languages from which prompts are translated: none',
    response: z.array(z.unknown()),
    handle: async () => json([]),
  },
  here,
);

const subscriptions = ['subscribe', 'unsubscribe'].flatMap((word) =>
  comfyRoute(
    {
      method: 'POST',
      path: `/api/etn/workflow/${word}`,
      summary: 'Accepted without effect: this server shares no workflows between clients',
      body: z.object({ client_id: z.string() }),
      handle: async () => json({ status: 'success' }),
    },
    here,
  ),
);

export const toolingRoutes = [...fetched, ...sent, ...models, ...languages, ...subscriptions];
