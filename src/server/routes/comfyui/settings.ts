/** `/settings` and `/users`: settings that a page keeps on the server. API keys identify callers; ComfyUI's users are not used. */

import { randomUUID } from 'node:crypto';
import * as z from 'zod';
import { StableDiffusionError } from '../../../errors.ts';
import { spaceOf } from '../../admission/storage-quota.ts';
import { checkSettings, type UserFileLimits } from '../../comfyui/user-files.ts';
import { empty, json } from '../../http/route.ts';
import { comfyRoute } from './define.ts';

/** JSON whatever the body's type says: the official page posts settings as text. Throws `invalid-argument`, `too-large`. */
function parsed(body: Uint8Array | undefined, limits: UserFileLimits): unknown {
  const bytes = body ?? new Uint8Array();
  checkSettings(bytes, limits);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new StableDiffusionError('invalid-argument', 'The body is not JSON.', { cause, details: { status: 400 } });
  }
}

const body = z.custom<Uint8Array>().optional();

const all = comfyRoute({
  method: 'GET',
  path: '/settings',
  summary: 'Settings of the page',
  response: z.unknown(),
  handle: async ({ comfyui }, { owner }) => json(await comfyui.users.settings(owner)),
});

const one = comfyRoute({
  method: 'GET',
  path: '/settings/:id',
  summary: 'One setting of the page; null where it was never set',
  params: z.object({ id: z.string() }),
  response: z.unknown(),
  async handle({ comfyui }, { owner, params: { id } }) {
    const settings = await comfyui.users.settings(owner);
    return json(Object.hasOwn(settings, id) ? settings[id] : null);
  },
});

const changeAll = comfyRoute({
  method: 'POST',
  path: '/settings',
  summary: 'Changes settings of the page',
  body,
  rawBody: true,
  responseType: 'none',
  async handle({ comfyui, quota, limits }, { owner, body: bytes }) {
    quota.charge(owner, spaceOf(bytes?.length ?? 0));
    const changes = z.record(z.string(), z.unknown()).safeParse(parsed(bytes, limits));
    if (!changes.success)
      throw new StableDiffusionError('invalid-argument', 'The body is not an object of settings.', {
        details: { status: 400 },
      });
    await comfyui.users.changeSettings(owner, changes.data);
    return empty();
  },
});

const changeOne = comfyRoute({
  method: 'POST',
  path: '/settings/:id',
  summary: 'Changes one setting of the page',
  params: z.object({ id: z.string() }),
  body,
  rawBody: true,
  responseType: 'none',
  async handle({ comfyui, quota, limits }, { owner, params: { id }, body: bytes }) {
    quota.charge(owner, spaceOf(bytes?.length ?? 0));
    await comfyui.users.changeSettings(owner, { [id]: parsed(bytes, limits) });
    return empty();
  },
});

const users = comfyRoute({
  method: 'GET',
  path: '/users',
  summary: 'Where the page keeps its settings',
  response: z.unknown(),
  handle: async ({ comfyui }, { owner }) => json({ storage: 'server', migrated: await comfyui.users.exists(owner) }),
});

const addUser = comfyRoute({
  method: 'POST',
  path: '/users',
  summary: 'Returns a name for a user. The server stores none: API keys identify callers',
  body: z.object({ username: z.string().trim().min(1).max(100) }),
  response: z.string(),
  handle: async (_context, { body: { username } }) => json(`${username.replace(/[^\w-]/g, '')}_${randomUUID()}`),
});

export const settingsRoutes = [...all, ...one, ...changeAll, ...changeOne, ...users, ...addUser];
