/** POST /sdapi/v1/refresh-checkpoints */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';

export const refreshCheckpoints = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/refresh-checkpoints',
  summary: 'Rescans the folder of models',
  flavour: 'a1111',
  response: z.null(),
  async handle({ catalog }) {
    await catalog.refresh();
    void catalog.hashAll();
    return json(null);
  },
});
