/** GET /api/v1/jobs/:id/events: `state`, `step`, `preview`, and at the end `result` or `error`, as server-sent events. */

import * as z from 'zod';
import type { ServerContext } from '../../context.ts';
import { defineRoute, type ServerEvent } from '../../http/route.ts';
import { isFinished, type Job } from '../../job.ts';
import { viewOf } from './job-body.ts';
import { jobParams, ownJob } from './own-job.ts';

async function* eventsOf(
  context: ServerContext,
  job: Job,
  previews: boolean,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent, void, void> {
  const { watch, queue } = context;
  const watching = (): void => {
    if (previews) queue.send(job.id, 'watch');
  };
  // A request for previews is valid for some seconds.
  const timer = setInterval(watching, 2000);
  try {
    for await (const event of watch.events(job, signal)) {
      if (event.kind === 'state') {
        watching();
        if (!isFinished(event.job)) yield { event: 'state', data: viewOf(context, event.job) };
        else yield { event: event.job.state === 'done' ? 'result' : 'error', data: viewOf(context, event.job) };
      } else {
        const { id: _id, kind, ...data } = event;
        if (kind === 'step' || previews) yield { event: kind, data };
      }
    }
  } finally {
    clearInterval(timer);
  }
}

export const jobEvents = defineRoute({
  method: 'GET',
  path: '/api/v1/jobs/:id/events',
  summary: 'Streams the events of a job: state, step, preview, and finally result or error',
  flavour: 'own',
  params: jobParams,
  query: z.object({ previews: z.stringbool().default(true) }),
  responseType: 'text/event-stream',
  async handle(context, { owner, params, query, signal, ticket }) {
    ticket.stream();
    const job = await ownJob(context, owner, params.id);
    return { events: eventsOf(context, job, query.previews, signal) };
  },
});
