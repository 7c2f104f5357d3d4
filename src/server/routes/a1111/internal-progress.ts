/** POST /internal/progress and GET /internal/pending-tasks: a job by the name its request gave it as `force_task_id` (modules/progress.py, v1.10.1). */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';
import { isFinished } from '../../job.ts';
import { showsPreviews } from './progress.ts';
import { boolean, integer, text } from './pydantic.ts';

export const internalProgress = defineRoute({
  method: 'POST',
  path: '/internal/progress',
  summary: 'Progress of the job with a task id',
  flavour: 'a1111',
  body: z.object({ id_task: text(), id_live_preview: integer(), live_preview: boolean() }),
  response: z.object({
    active: z.boolean(),
    queued: z.boolean(),
    completed: z.boolean(),
    progress: z.number().nullable(),
    eta: z.number().nullable(),
    live_preview: z.string().nullable(),
    id_live_preview: z.int().nullable(),
    textinfo: z.string().nullable(),
  }),
  async handle(context, { owner, body }) {
    const { queue, tasks, watch, now } = context;
    const id = tasks.get(owner, body.id_task?.slice(0, 200) ?? '');
    const job = id === undefined ? undefined : await queue.get(id);
    const none = {
      active: false,
      queued: false,
      completed: false,
      progress: null,
      eta: null,
      live_preview: null,
      id_live_preview: -1,
      textinfo: 'Waiting...',
    };
    if (!job || isFinished(job)) return json({ ...none, completed: job !== undefined });
    if (job.state === 'queued') return json({ ...none, queued: true, textinfo: 'In queue...' });
    const wanted = showsPreviews(context, owner, job, body.live_preview !== false);
    const { step, preview } = watch.progress(job.id) ?? {};
    const share = step ? step.done / step.total : 0;
    const since = (now() - (job.startedAt ?? now())) / 1000;
    // Each preview has a number, so that none is sent twice.
    const number = preview ? preview.picture * 10_000 + preview.step : -1;
    const isNew = wanted && preview && number !== body.id_live_preview;
    return json({
      ...none,
      active: true,
      progress: share,
      eta: share > 0 ? since / share - since : null,
      live_preview: isNew ? `data:${preview.mediaType};base64,${preview.data}` : null,
      id_live_preview: isNew ? number : (body.id_live_preview ?? -1),
      textinfo: null,
    });
  },
});

export const pendingTasks = defineRoute({
  method: 'GET',
  path: '/internal/pending-tasks',
  summary: 'Task ids of queued jobs',
  flavour: 'a1111',
  response: z.object({ size: z.int(), tasks: z.array(z.string()) }),
  async handle({ tasks, watch }, { owner }) {
    const waiting = new Set(watch.open(owner).flatMap(({ job }) => (job.state === 'queued' ? [job.id] : [])));
    const names = tasks.of(owner).flatMap(([task, job]) => (waiting.has(job) ? [task] : []));
    return json({ size: names.length, tasks: names });
  },
});
