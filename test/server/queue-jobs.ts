/** Jobs for the tests of queues. */

import assert from 'node:assert/strict';
import { type Job, type JobRequest, type JobResult, jobRequestSchema, type NewJob } from '../../src/server/job.ts';
import type { JobQueue } from '../../src/server/queue/queue.ts';

/** What every queue does, on a new and empty one. */
export interface QueueCheck {
  readonly title: string;
  /** Jobs are begun at most so often. Default 3. */
  readonly attempts?: number;
  readonly run: (queue: JobQueue) => Promise<void>;
}

export function jobRequest(changes: Partial<JobRequest> = {}): JobRequest {
  return jobRequestSchema.parse({
    task: 'txt2img',
    model: 'pocket',
    prompts: ['a red apple'],
    negativePrompt: '',
    seeds: [1],
    subseeds: [1],
    batchSize: 1,
    width: 128,
    height: 128,
    steps: 2,
    sampler: 'Euler a',
    guidanceScale: 7,
    noise: 'a1111-cpu',
    clipSkip: 1,
    format: { type: 'png', quality: 90 },
    previews: 0,
    ...changes,
  });
}

let number = 0;
export function newJob(changes: Partial<NewJob> = {}, request: Partial<JobRequest> = {}): NewJob {
  return {
    id: `job-${process.pid}-${number++}`,
    owner: 'alice',
    source: 'jobs',
    priority: 'normal',
    request: jobRequest(request),
    ...changes,
  };
}

export const result: JobResult = { images: [], interrupted: false, modelHash: null, seconds: 1, batch: 1 };
export const admission = { queueLength: 100, queuePerCaller: 100 };
export const error = { code: 'engine-failed', message: 'It broke.' };

/** For a job that is sure to come, however slow the machine is: the test's own time limit ends a wait for none. */
export const never = (): AbortSignal => new AbortController().signal;

export async function takeOne(queue: JobQueue, pictures = 1): Promise<Job> {
  const [job] = await queue.take({ pictures, signal: never() });
  assert.ok(job, 'a job was there to take');
  return job;
}

/** No job is given within a moment. */
export async function expectNone(queue: JobQueue): Promise<void> {
  assert.deepEqual(await queue.take({ pictures: 8, signal: AbortSignal.timeout(100) }), []);
}
