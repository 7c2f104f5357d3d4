/** GET /v1/models and /v1/models/:model */

import * as z from 'zod';
import type { ServerContext } from '../../context.ts';
import { describedFields, describedModel } from '../../models/described-models.ts';
import { defineRoute, json } from '../../http/route.ts';

const model = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
  ...describedFields,
});
const asModel = async (context: ServerContext, { name }: { readonly name: string }) => ({
  id: name,
  object: 'model' as const,
  created: 0,
  owned_by: 'local',
  ...(await describedModel(context, name)),
});

export const listModels = defineRoute({
  method: 'GET',
  path: '/v1/models',
  summary: 'The models',
  flavour: 'openai',
  response: z.object({ object: z.literal('list'), data: z.array(model) }),
  handle: async (context) =>
    json({ object: 'list', data: await Promise.all(context.catalog.list().map((one) => asModel(context, one))) }),
});

export const getModel = defineRoute({
  method: 'GET',
  path: '/v1/models/:model',
  summary: 'One model',
  flavour: 'openai',
  params: z.object({ model: z.string().min(1) }),
  response: model,
  handle: async (context, { params }) => json(await asModel(context, context.catalog.find(params.model))),
});
