/** GET /healthz: the process answers. GET /readyz: it takes jobs. */

import { z } from 'zod';
import { defineRoute, json } from '../../http/route.ts';

export const healthz = defineRoute({
  method: 'GET',
  path: '/healthz',
  summary: 'The server is alive',
  flavour: 'own',
  open: true,
  response: z.object({ status: z.literal('ok') }),
  handle: async () => json({ status: 'ok' }),
});

export const readyz = defineRoute({
  method: 'GET',
  path: '/readyz',
  summary: 'The server accepts jobs; 503 while it stops or cannot reach its queue',
  flavour: 'own',
  open: true,
  response: z.object({ status: z.enum(['ready', 'not ready']) }),
  async handle({ queue, isStopping }) {
    const ready = !isStopping() && (await queue.ready());
    return json({ status: ready ? 'ready' : 'not ready' }, ready ? 200 : 503);
  },
});
