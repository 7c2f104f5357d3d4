/** GET /v1/models and /v1/models/:model */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';

const model = z.object({ id: z.string(), object: z.literal('model'), created: z.int(), owned_by: z.string() });
const asModel = ({ name }: { readonly name: string }) => ({ id: name, object: 'model', created: 0, owned_by: 'local' });

export const listModels = defineRoute({
  method: 'GET',
  path: '/v1/models',
  summary: 'The models',
  flavour: 'openai',
  response: z.object({ object: z.literal('list'), data: z.array(model) }),
  handle: async ({ catalog }) => json({ object: 'list', data: catalog.list().map(asModel) }),
});

export const getModel = defineRoute({
  method: 'GET',
  path: '/v1/models/:model',
  summary: 'One model',
  flavour: 'openai',
  params: z.object({ model: z.string().min(1) }),
  response: model,
  handle: async ({ catalog }, { params }) => json(asModel(catalog.find(params.model))),
});
