/** GET /internal/ping: A1111's sign of life, which older clients request. */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';

export const ping = defineRoute({
  method: 'GET',
  path: '/internal/ping',
  summary: 'The server is alive (for older clients)',
  flavour: 'a1111',
  response: z.object({}),
  handle: async () => json({}),
});
