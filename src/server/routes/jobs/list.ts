/** GET /api/v1/jobs */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';
import { jobStates } from '../../job.ts';
import { jobView, viewOf } from './job-body.ts';

export const listJobs = defineRoute({
  method: 'GET',
  path: '/api/v1/jobs',
  summary: "The caller's jobs, newest first",
  flavour: 'own',
  query: z.object({
    state: z.enum(jobStates).optional(),
    before: z.string().max(64).optional(),
    limit: z.coerce.number().int().min(1).max(100).default(20),
  }),
  response: z.object({ jobs: z.array(jobView), next: z.string().nullable() }),
  async handle(context, { owner, query }) {
    const { queue, watch } = context;
    const { jobs, next } = await queue.list({ owner, ...query });
    return json({
      jobs: jobs.map((job) => viewOf(context, job, watch.progress(job.id)?.step)),
      next,
    });
  },
});
