/** DELETE /api/v1/jobs/:id cancels; POST /api/v1/jobs/:id/interrupt ends it with what there is. */

import { defineRoute, json } from '../../http/route.ts';
import { jobView, viewOf } from './job-body.ts';
import { jobParams, ownJob } from './own-job.ts';

export const cancelJob = defineRoute({
  method: 'DELETE',
  path: '/api/v1/jobs/:id',
  summary: 'Cancels a job that waits or runs; a finished one stays as it is',
  flavour: 'own',
  params: jobParams,
  response: jobView,
  async handle(context, { owner, params }) {
    const job = await ownJob(context, owner, params.id);
    return json(viewOf((await context.queue.cancel(job.id)) ?? job));
  },
});

export const interruptJob = defineRoute({
  method: 'POST',
  path: '/api/v1/jobs/:id/interrupt',
  summary: 'Ends a job that runs, with the pictures and the unfinished picture there are',
  flavour: 'own',
  params: jobParams,
  response: jobView,
  async handle(context, { owner, params }) {
    const job = await ownJob(context, owner, params.id);
    context.queue.send(job.id, 'interrupt');
    return json(viewOf(job));
  },
});
