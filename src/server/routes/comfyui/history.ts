/** `/history`: finished workflows with what they made. */

import * as z from 'zod';
import { forgetHistory, historyJson, historyOf } from '../../comfyui/history.ts';
import { empty } from '../../http/route.ts';
import { pythonInt } from '../../../workflow/python-text.ts';
import { comfyRoute } from './define.ts';
import { objectOf, rawJson } from './raw-json.ts';

function isWholeNumber(text: string): boolean {
  try {
    pythonInt(text);
    return true;
  } catch {
    return false;
  }
}

const count = z.string().refine(isWholeNumber, { error: 'a whole number is expected' }).optional();
const numberOf = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Number(pythonInt(text));

const all = comfyRoute({
  method: 'GET',
  path: '/history',
  summary: 'Finished workflows by their ids, the oldest first',
  query: z.object({ max_items: count, offset: count }),
  response: z.unknown(),
  handle: async (context, { owner, query }) =>
    rawJson(await historyJson(context, owner, { maxItems: numberOf(query.max_items), offset: numberOf(query.offset) })),
});

const one = comfyRoute({
  method: 'GET',
  path: '/history/:id',
  summary: 'A finished workflow; empty while it is not finished',
  params: z.object({ id: z.string() }),
  response: z.unknown(),
  handle: async (context, { owner, params: { id } }) => rawJson(await historyOf(context, owner, id)),
});

const forgetting = comfyRoute({
  method: 'POST',
  path: '/history',
  summary: 'Forgets finished workflows: clear for all, delete for a list of ids',
  body: z.custom<Uint8Array>().optional(),
  rawBody: true,
  responseType: 'none',
  async handle(context, { owner, body }) {
    const { clear, delete: ids } = objectOf(body);
    if (clear) await forgetHistory(context, owner, undefined);
    if (Array.isArray(ids)) await forgetHistory(context, owner, ids.map(String));
    return empty();
  },
});

export const historyRoutes = [...all, ...one, ...forgetting];
