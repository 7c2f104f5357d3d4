/** GET /sdapi/v1/memory */

import { totalmem } from 'node:os';
import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';

export const memory = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/memory',
  summary: 'Memory of the process, in bytes',
  flavour: 'a1111',
  response: z.object({ ram: z.record(z.string(), z.number()), cuda: z.record(z.string(), z.unknown()) }),
  async handle() {
    const used = process.memoryUsage.rss();
    const total = totalmem();
    return json({ ram: { free: total - used, used, total }, cuda: { error: 'unavailable' } });
  },
});
