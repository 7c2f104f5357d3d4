/** DELETE /api/v1/jobs/:id cancels; POST /api/v1/jobs/:id/interrupt ends it with what there is. */

import { defineRoute, json } from '../../http/route.ts';
import { jobView, viewOf } from './job-body.ts';
import { jobParams, ownJob } from './own-job.ts';

export const cancelJob = defineRoute({
  method: 'DELETE',
  path: '/api/v1/jobs/:id',
  summary: 'Cancels a queued or running job; a finished one is unchanged',
  flavour: 'own',
  params: jobParams,
  response: jobView,
  async handle(context, { owner, params }) {
    const job = await ownJob(context, owner, params.id);
    return json(viewOf(context, (await context.queue.cancel(job.id)) ?? job));
  },
});

export const interruptJob = defineRoute({
  method: 'POST',
  path: '/api/v1/jobs/:id/interrupt',
  summary: 'Ends a running job and returns its finished pictures and the unfinished one',
  flavour: 'own',
  params: jobParams,
  response: jobView,
  async handle(context, { owner, params }) {
    const job = await ownJob(context, owner, params.id);
    context.queue.send(job.id, 'interrupt');
    return json(viewOf(context, job));
  },
});
