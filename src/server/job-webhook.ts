/** The webhooks of jobs: what is posted, and to whom. */

import type { FastifyBaseLogger } from 'fastify';
import type { ServerPolicy } from './context.ts';
import type { Job } from './job.ts';
import type { Keeping } from './keeping.ts';
import type { JobQueue } from './queue/queue.ts';
import { viewOf } from './routes/jobs/job-body.ts';
import { createWebhooks, type Webhooks } from './webhook.ts';
import type { WorkOptions } from './work-options.ts';

/** Undefined where the operator allows none. */
export async function openWebhooks(
  { webhookSecret }: WorkOptions,
  {
    policy,
    linkSecret,
    log,
  }: Pick<Keeping, 'linkSecret'> & { readonly policy: ServerPolicy; readonly log: FastifyBaseLogger },
): Promise<Webhooks | undefined> {
  if (policy.webhooks === 'off') return undefined;
  return createWebhooks({
    secret: webhookSecret ?? (await linkSecret()),
    allowsPrivate: policy.webhooks === 'private',
    // Many services write their key into the address's path.
    onFailure: ({ url, id }, err) => log.warn({ host: new URL(url).host, id, err }, 'a webhook could not be delivered'),
  });
}

/** Tells the end of a job to its caller's webhook. */
export async function callWebhook(
  { queue, webhooks }: { readonly queue: JobQueue; readonly webhooks: Webhooks | undefined },
  { id, owner, request }: Job,
  base: string,
): Promise<void> {
  if (!webhooks || request.task === 'workflow' || request.webhook === undefined) return;
  const job = await queue.get(id);
  if (job)
    webhooks.send({
      owner,
      url: request.webhook,
      id: `job-${id}`,
      body: { type: `job.${job.state}`, job: viewOf({ base }, job) },
    });
}
