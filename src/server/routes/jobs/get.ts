/** GET /api/v1/jobs/:id */

import { defineRoute, json } from '../../http/route.ts';
import { jobView, viewOf } from './job-body.ts';
import { jobParams, ownJob } from './own-job.ts';

export const getJob = defineRoute({
  method: 'GET',
  path: '/api/v1/jobs/:id',
  summary: 'A job, with its result if it is done',
  flavour: 'own',
  params: jobParams,
  response: jobView,
  handle: async (context, { owner, params }) =>
    json(viewOf(context, await ownJob(context, owner, params.id), context.watch.progress(params.id)?.step)),
});
