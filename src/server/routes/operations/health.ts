/** GET /healthz: the process answers. GET /readyz: it takes jobs. */

import * as z from 'zod';
import { noWorker } from '../../accept-job.ts';
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
  summary: 'The server makes jobs; 503 while it stops, cannot reach its queue, or no worker takes its jobs',
  flavour: 'own',
  open: true,
  response: z.object({ status: z.enum(['ready', 'not ready']), reason: z.string().optional() }),
  async handle({ queue, isStopping }) {
    const reason = isStopping()
      ? 'The server is shutting down.'
      : !(await queue.ready())
        ? 'The queue cannot be reached.'
        : (await queue.hasTaker())
          ? undefined
          : noWorker;
    return json({ status: reason === undefined ? 'ready' : 'not ready', reason }, reason === undefined ? 200 : 503);
  },
});
