/** Accepts a job: what the caller left open is decided, and the job goes into the queue. */

import { randomUUID } from 'node:crypto';
import { StableDiffusionError } from '../errors.ts';
import type { ServerContext } from './context.ts';
import type { ControlPlace } from './decide-controls.ts';
import { decideJob, type FieldNames, type JobDraft } from './decide-job.ts';
import { invalidField } from './http/problem.ts';
import { isPictureJob, type JobRequest, type NewJob, type PictureJob } from './job.ts';

export interface Submission extends Pick<NewJob, 'owner' | 'source' | 'priority'> {
  readonly draft: JobDraft;
  readonly fields?: FieldNames;
  /** The place of a control in the caller's request, for errors. Default: that of the jobs API. */
  readonly controlPlace?: ControlPlace | undefined;
  /** Derived from the caller's idempotency key, so that the same request twice is one job. */
  readonly id?: string;
  /** SHA-256 of the body that came with that key. */
  readonly bodyDigest?: string;
}

/** What is wrong with a server that leaves its jobs to workers, and has none. */
export const noWorker = 'No worker takes the jobs of this server. Start one: sd worker --redis with the same address.';

/** Throws `busy` where nothing takes jobs: a client that waits for its answer would wait in vain. */
export async function assertWorker({ queue }: Pick<ServerContext, 'queue'>): Promise<void> {
  if (!(await queue.hasTaker())) throw new StableDiffusionError('busy', noWorker, { details: { scope: 'workers' } });
}

/** A job waits for a worker to come; a client that waits for its answer would wait in vain. Throws `busy`. */
async function withWorker(context: ServerContext, request: JobRequest, source: NewJob['source']): Promise<JobRequest> {
  if (source !== 'jobs') await assertWorker(context);
  if (await context.queue.hasTaker()) return request;
  return { ...request, warnings: [...(request.warnings ?? []), noWorker] };
}

/** Accepts a job; it is in the queue when this returns. Throws `invalid-argument` and others at a field, `busy`, `not-found`. */
export async function acceptJob(
  context: ServerContext,
  { draft, fields = {}, controlPlace, bodyDigest, ...rest }: Submission,
): Promise<PictureJob> {
  assertOpen(context);
  const request = await decideJob(context, draft, fields, rest.source, controlPlace);
  const job = await acceptDecided(context, {
    ...rest,
    request: bodyDigest === undefined ? request : { ...request, bodyDigest },
  });
  if (bodyDigest !== undefined) await assertSameBody(context, job, bodyDigest);
  return job;
}

/** Throws `invalid-argument` where the job of this Idempotency-Key came with another body. Jobs of earlier versions have no digest and pass. */
async function assertSameBody({ queue }: ServerContext, { id }: PictureJob, bodyDigest: string): Promise<void> {
  const kept = await queue.get(id);
  if (!kept || !isPictureJob(kept) || (kept.request.bodyDigest ?? bodyDigest) === bodyDigest) return;
  throw invalidField(
    ['header', 'Idempotency-Key'],
    `This Idempotency-Key was sent before with another body, for the job ${id}. Send the same body, or another key.`,
  );
}

/** Throws `busy` while the server is stopping. */
function assertOpen({ isStopping }: ServerContext): void {
  if (isStopping())
    throw new StableDiffusionError('busy', 'The server is shutting down.', { details: { scope: 'shutdown' } });
}

/** Accepts a job that `decideJob` has decided. Throws `busy`. */
export async function acceptDecided(
  context: ServerContext,
  {
    owner,
    source,
    priority,
    request: decided,
    id = randomUUID(),
  }: Omit<Submission, 'draft' | 'fields' | 'controlPlace' | 'bodyDigest'> & { readonly request: JobRequest },
): Promise<PictureJob> {
  assertOpen(context);
  const { queue, limits, metrics, watch } = context;
  const request = await withWorker(context, decided, source);
  try {
    const job = await queue.add({ id, owner, source, priority, request }, limits);
    if (!isPictureJob(job)) throw new StableDiffusionError('invalid-argument', `${id} is the id of a workflow.`);
    metrics.accepted(source);
    watch.track(job);
    return job;
  } catch (error) {
    if (error instanceof StableDiffusionError && error.code === 'busy') metrics.refused(String(error.details['scope']));
    throw error;
  }
}

/** Waits for a job's pictures. A client that goes takes its job with it. Throws what the job failed with. */
export async function awaitJob(
  context: ServerContext,
  job: PictureJob,
  signal: AbortSignal,
): Promise<PictureJob & { readonly result: NonNullable<PictureJob['result']> }> {
  const { watch, queue } = context;
  let ended: Awaited<ReturnType<typeof watch.finished>>;
  try {
    ended = await watch.finished(job, signal);
  } catch (error) {
    if (signal.aborted) await queue.cancel(job.id);
    throw error;
  }
  const { result, error, state } = ended;
  if (state === 'done' && result) return { ...ended, request: job.request, result };
  if (state === 'cancelled') throw new StableDiffusionError('aborted', 'The job was cancelled.');
  const code = (error?.code ?? 'engine-failed') as StableDiffusionError['code'];
  throw new StableDiffusionError(code, error?.message ?? 'The job failed.');
}
