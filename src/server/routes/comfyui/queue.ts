/** `/queue`, `/interrupt` and `/free`: workflows that wait or run, and what is kept in memory for them. */

import * as z from 'zod';
import { queueJson } from '../../comfyui/history.ts';
import { jobIdOf } from '../../comfyui/submit-prompt.ts';
import type { WorkflowJob } from '../../job.ts';
import { empty } from '../../http/route.ts';
import { comfyRoute } from './define.ts';
import { objectOf, rawJson } from './raw-json.ts';

/** Waiting workflows as ComfyUI lists them: in the array of a heap by their numbers, into which they came in this order. */
function heapOf(jobs: readonly WorkflowJob[]): readonly WorkflowJob[] {
  const heap: WorkflowJob[] = [];
  for (const job of jobs) {
    let at = heap.push(job) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const other = heap[above] as WorkflowJob;
      if (other.request.number <= job.request.number) break;
      heap[at] = other;
      at = above;
    }
    heap[at] = job;
  }
  return heap;
}

const listing = comfyRoute({
  method: 'GET',
  path: '/queue',
  summary: 'Workflows that run and that wait',
  response: z.unknown(),
  async handle({ comfyui }, { owner }) {
    const open = comfyui.hub.open(owner);
    const waiting = heapOf(open.filter(({ state }) => state === 'queued'));
    const running = open.filter(({ state }) => state === 'running');
    return rawJson(await queueJson(owner, running, waiting));
  },
});

const body = z.custom<Uint8Array>().optional();
const change = { method: 'POST', body, rawBody: true, responseType: 'none' } as const;

const changing = comfyRoute({
  ...change,
  path: '/queue',
  summary: 'Takes workflows that wait out of the queue: clear for all, delete for a list of ids',
  async handle({ comfyui, queue }, { owner, body: bytes }) {
    const { clear, delete: ids } = objectOf(bytes);
    const waiting = comfyui.hub.open(owner).filter(({ state }) => state === 'queued');
    const named = new Set(Array.isArray(ids) ? ids.map((id) => jobIdOf(owner, String(id))) : []);
    for (const job of waiting) if (clear || named.has(job.id)) await queue.cancel(job.id);
    return empty();
  },
});

const interrupting = comfyRoute({
  ...change,
  path: '/interrupt',
  summary: 'Stops the workflow that runs, or the one of prompt_id if that runs',
  async handle({ comfyui, queue }, { owner, body: bytes }) {
    const { prompt_id: promptId } = objectOf(bytes);
    const wanted = typeof promptId === 'string' ? jobIdOf(owner, promptId) : undefined;
    for (const { id, state } of comfyui.hub.open(owner))
      if (state === 'running' && (wanted === undefined || wanted === id)) queue.send(id, 'interrupt');
    return empty();
  },
});

const freeing = comfyRoute({
  ...change,
  path: '/free',
  summary: 'Forgets what is kept in memory from workflows: unload_models or free_memory',
  async handle({ queue }, { owner, body: bytes }) {
    const { unload_models: models, free_memory: memory } = objectOf(bytes);
    if (models || memory) queue.send(owner, 'free');
    return empty();
  },
});

export const queueRoutes = [...listing, ...changing, ...interrupting, ...freeing];
