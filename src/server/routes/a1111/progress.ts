/** GET /sdapi/v1/progress: the caller's job that is being made, with a preview. Clients poll until progress and job_count are 0. */

import * as z from 'zod';
import type { ServerContext } from '../../context.ts';
import { defineRoute, json } from '../../http/route.ts';
import { isPictureJob, type Job } from '../../job.ts';
import { optionsOf } from './option-table.ts';
import { timestamp } from './info.ts';
import { boolean } from './pydantic.ts';

const idle = {
  skipped: false,
  interrupted: false,
  stopping_generation: false,
  job: '',
  job_count: 0,
  job_timestamp: '0',
  job_no: 0,
  sampling_step: 0,
  sampling_steps: 0,
};

/** True if a caller gets previews of a job, by its request and its options. Meanwhile the job makes them. */
export function showsPreviews(context: ServerContext, owner: string, { id, state }: Job, isAsked: boolean): boolean {
  const shows = isAsked && optionsOf(context, owner)['live_previews_enable'] === true;
  if (shows && state === 'running') context.queue.send(id, 'watch');
  return shows;
}

export const progress = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/progress',
  summary: 'Progress of the current job',
  flavour: 'a1111',
  query: z.object({ skip_current_image: boolean() }),
  response: z.object({
    progress: z.number(),
    eta_relative: z.number(),
    state: z.record(z.string(), z.unknown()),
    current_image: z.string().nullable(),
    textinfo: z.string().nullable(),
  }),
  async handle(context, { owner, query }) {
    const { watch, now } = context;
    const open = watch.open(owner).flatMap(({ job, ...rest }) => (isPictureJob(job) ? [{ job, ...rest }] : []));
    const current = open.find(({ job }) => job.state === 'running') ?? open[0];
    if (!current) return json({ progress: 0, eta_relative: 0, state: idle, current_image: null, textinfo: null });
    const { job, step, preview } = current;
    const wanted = showsPreviews(context, owner, job, query.skip_current_image !== true);
    const iterations = Math.ceil(job.request.prompts.length / job.request.batchSize);
    const share = Math.min(1, 0.01 + (step ? step.done / step.total : 0));
    const since = (now() - (job.startedAt ?? now())) / 1000;
    return json({
      progress: share,
      eta_relative: since / share - since,
      state: {
        ...idle,
        job: job.request.task === 'txt2img' ? 'scripts_txt2img' : 'scripts_img2img',
        job_count: iterations,
        job_timestamp: timestamp(job.startedAt ?? job.createdAt),
        job_no: Math.min(iterations - 1, Math.floor((step?.pictures ?? 0) / job.request.batchSize)),
        sampling_step: step?.step ?? 0,
        sampling_steps: step?.steps ?? job.request.steps,
      },
      current_image: wanted ? (preview?.data ?? null) : null,
      textinfo: job.state === 'queued' ? 'Waiting...' : null,
    });
  },
});
