/** POST /sdapi/v1/interrupt and skip: the caller's running jobs end, or continue with their next iteration. */

import * as z from 'zod';
import type { ServerContext } from '../../context.ts';
import { defineRoute, json } from '../../http/route.ts';

function tellRunning({ watch, queue }: ServerContext, owner: string, control: 'interrupt' | 'skip'): void {
  for (const { job } of watch.open(owner)) if (job.state === 'running') queue.send(job.id, control);
}

export const interrupt = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/interrupt',
  summary: 'Ends the current job; it returns what is finished',
  flavour: 'a1111',
  response: z.object({}),
  async handle(context, { owner }) {
    tellRunning(context, owner, 'interrupt');
    return json({});
  },
});

export const skip = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/skip',
  summary: 'Ends the current iteration of the current job',
  flavour: 'a1111',
  response: z.null(),
  async handle(context, { owner }) {
    tellRunning(context, owner, 'skip');
    return json(null);
  },
});
