/** `/api/jobs`: one list of the workflows that wait, run and are finished, which the page asks for since version 1.34 (ComfyUI 0.5). */

import * as z from 'zod';
import {
  cancelPageJob,
  listPageJobs,
  pageJobJson,
  pageJobOrders,
  type PageJobQuery,
  pageJobStates,
} from '../../comfyui/page-jobs.ts';
import { type Answer, json } from '../../http/route.ts';
import { comfyRoute } from './define.ts';
import { objectOf, rawJson } from './raw-json.ts';

const text = z.string().optional();
const listQuery = z.object({
  status: text,
  workflow_id: text,
  sort_by: text,
  sort_order: text,
  limit: text,
  offset: text,
});

const wholeNumber = (given: string): number | undefined =>
  /^\s*[+-]?\d{1,9}\s*$/.test(given) ? Number(given) : undefined;

/** The query, or what is wrong with it in ComfyUI's words. */
function readQuery(given: z.infer<typeof listQuery>): PageJobQuery | string {
  const states = (given.status ?? '')
    .split(',')
    .map((state) => state.trim().toLowerCase())
    .filter((state) => state !== '');
  const unknown = states.filter((state) => !pageJobStates.some((known) => known === state));
  if (unknown.length > 0)
    return `Invalid status value(s): ${unknown.join(', ')}. Valid values: ${pageJobStates.join(', ')}`;
  const sortBy = pageJobOrders.find((known) => known === (given.sort_by ?? 'created_at').toLowerCase());
  if (!sortBy) return "sort_by must be 'created_at' or 'execution_duration'";
  const order = (given.sort_order ?? 'desc').toLowerCase();
  if (order !== 'asc' && order !== 'desc') return "sort_order must be 'asc' or 'desc'";
  const limit = given.limit === undefined ? undefined : wholeNumber(given.limit);
  if (given.limit !== undefined && limit === undefined) return 'limit must be an integer';
  if (limit !== undefined && limit <= 0) return 'limit must be a positive integer';
  const offset = wholeNumber(given.offset ?? '0');
  if (offset === undefined) return 'offset must be an integer';
  return {
    states: states.length > 0 ? states : pageJobStates,
    workflowId: given.workflow_id,
    sortBy,
    ascending: order === 'asc',
    limit,
    offset: Math.max(0, offset),
  };
}

const problem = (error: string, status: number): Answer => ({ ...json({ error }), status });

const list = comfyRoute(
  {
    method: 'GET',
    path: '/api/jobs',
    summary: 'Workflows that wait, run and are finished, in one list',
    query: listQuery,
    response: z.unknown(),
    async handle(context, { owner, query: given }) {
      const query = readQuery(given);
      if (typeof query === 'string') return problem(query, 400);
      const { jobs, total } = await listPageJobs(context, owner, query);
      const { limit = null, offset } = query;
      const hasMore = limit !== null && offset + jobs.length < total;
      return json({ jobs, pagination: { offset, limit, total, has_more: hasMore } });
    },
  },
  { here: true },
);

const one = comfyRoute(
  {
    method: 'GET',
    path: '/api/jobs/:id',
    summary: 'One workflow, with its nodes and what it made',
    params: z.object({ id: z.string() }),
    response: z.unknown(),
    async handle(context, { owner, params: { id } }) {
      const found = await pageJobJson(context, owner, id);
      return found === undefined ? problem('Job not found', 404) : rawJson(found);
    },
  },
  { here: true },
);

const cancelOne = comfyRoute(
  {
    method: 'POST',
    path: '/api/jobs/:id/cancel',
    summary: 'Takes a workflow out of the queue, or stops it if it runs',
    params: z.object({ id: z.string() }),
    body: z.custom<Uint8Array>().optional(),
    rawBody: true,
    response: z.unknown(),
    handle: async (context, { owner, params: { id } }) => json({ cancelled: await cancelPageJob(context, owner, id) }),
  },
  { here: true },
);

const cancelSome = comfyRoute(
  {
    method: 'POST',
    path: '/api/jobs/cancel',
    summary: 'The same for a list of workflows, job_ids',
    body: z.custom<Uint8Array>().optional(),
    rawBody: true,
    response: z.unknown(),
    async handle(context, { owner, body }) {
      const { job_ids: ids } = objectOf(body);
      if (!Array.isArray(ids) || !ids.every((id) => typeof id === 'string'))
        return problem('job_ids must be a list of strings', 400);
      const cancelled: string[] = [];
      for (const id of ids) if (await cancelPageJob(context, owner, id)) cancelled.push(id);
      return json({ cancelled });
    },
  },
  { here: true },
);

export const pageJobRoutes = [...list, ...one, ...cancelOne, ...cancelSome];
