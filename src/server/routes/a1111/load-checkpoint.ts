/** POST /sdapi/v1/unload-checkpoint drops models that nobody uses; reload-checkpoint does nothing, since a job loads its model. */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';

export const unloadCheckpoint = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/unload-checkpoint',
  summary: 'Frees the memory of models that nobody uses now',
  flavour: 'a1111',
  response: z.object({}),
  async handle({ models }) {
    await models.unload();
    return json({});
  },
});

export const reloadCheckpoint = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/reload-checkpoint',
  summary: 'Accepted; a job loads its model by itself',
  flavour: 'a1111',
  response: z.object({}),
  handle: async () => json({}),
});
