/** A caller's workflows as ComfyUI 0.5 and later list them under `/api/jobs`: those that wait, run and are finished, in one list. */

import type { ServerContext } from '../context.ts';
import { isFinished, isWorkflowJob, type WorkflowJob } from '../job.ts';
import { finishedWorkflows, outcomeOf } from './history.ts';
import { jobIdOf } from './submit-prompt.ts';
import { isMapping } from '../../config/validate.ts';

export const pageJobStates = ['pending', 'in_progress', 'completed', 'failed', 'cancelled'] as const;
export type PageJobState = (typeof pageJobStates)[number];

export const pageJobOrders = ['created_at', 'execution_duration'] as const;

export interface PageJobQuery {
  readonly states: readonly string[];
  readonly workflowId?: string | undefined;
  readonly sortBy: (typeof pageJobOrders)[number];
  readonly ascending: boolean;
  /** Undefined for all. */
  readonly limit?: number | undefined;
  readonly offset: number;
}

/** What a page shows of a workflow. Times in milliseconds since 1970. */
interface PageJob {
  readonly id: string;
  readonly status: PageJobState;
  readonly priority: number;
  readonly create_time: number;
  readonly execution_start_time?: number | undefined;
  readonly execution_end_time?: number | undefined;
  readonly execution_error?: unknown;
  readonly outputs_count: number;
  readonly preview_output?: Readonly<Record<string, unknown>> | undefined;
  readonly workflow_id?: string | undefined;
}

/** How many things the output nodes made, and the one to show: a kept one, else any. */
function summaryOf(outputs: Readonly<Record<string, unknown>>): Pick<PageJob, 'outputs_count' | 'preview_output'> {
  const shown: Record<string, unknown>[] = [];
  let count = 0;
  for (const [nodeId, made] of Object.entries(outputs))
    for (const [mediaType, items] of Object.entries(isMapping(made) ? made : {}))
      for (const item of mediaType !== 'animated' && Array.isArray(items) ? items : []) {
        if (!isMapping(item)) continue;
        count++;
        if (['images', 'video', 'audio'].includes(mediaType)) shown.push({ ...item, nodeId, mediaType });
      }
  return { outputs_count: count, preview_output: shown.find(({ type }) => type === 'output') ?? shown[0] };
}

function messageOf(job: WorkflowJob, wanted: readonly string[]): Readonly<Record<string, unknown>> | undefined {
  const found = outcomeOf(job).messages.findLast(([name]) => wanted.includes(name));
  return isMapping(found?.[1]) ? found[1] : undefined;
}

function stateOf(job: WorkflowJob): PageJobState {
  if (!isFinished(job)) return job.state === 'running' ? 'in_progress' : 'pending';
  if (outcomeOf(job).status === 'success') return 'completed';
  return messageOf(job, ['execution_interrupted']) ? 'cancelled' : 'failed';
}

function pageJob(job: WorkflowJob, state = stateOf(job)): PageJob {
  const { request, createdAt, startedAt, finishedAt } = job;
  const noted = {
    id: request.promptId,
    status: state,
    priority: request.number,
    create_time: createdAt,
    workflow_id: request.workflowId,
  };
  if (!isFinished(job)) return { ...noted, execution_start_time: startedAt, outputs_count: 0 };
  return {
    ...noted,
    execution_start_time: startedAt,
    execution_end_time: finishedAt,
    execution_error: state === 'failed' ? messageOf(job, ['execution_error']) : undefined,
    ...summaryOf(outcomeOf(job).outputs),
  };
}

const orderOf = ({ sortBy }: PageJobQuery, job: PageJob): number => {
  if (sortBy === 'created_at') return job.create_time;
  const { execution_start_time: start, execution_end_time: end } = job;
  return start !== undefined && end !== undefined ? end - start : 0;
};

/** A part of the list, and how long all of it is. */
export async function listPageJobs(
  context: ServerContext,
  owner: string,
  query: PageJobQuery,
): Promise<{ readonly jobs: readonly PageJob[]; readonly total: number }> {
  const found: PageJob[] = [];
  const add = (job: WorkflowJob): void => {
    const state = stateOf(job);
    if (query.states.includes(state)) found.push(pageJob(job, state));
  };
  for (const job of context.comfyui.hub.open(owner)) add(job);
  if (query.states.some((state) => state !== 'pending' && state !== 'in_progress'))
    for await (const job of finishedWorkflows(context, owner)) add(job);
  const wanted = found.filter(
    ({ workflow_id: id }) => query.workflowId === undefined || query.workflowId === '' || id === query.workflowId,
  );
  const sign = query.ascending ? 1 : -1;
  wanted.sort((a, b) => sign * (orderOf(query, a) - orderOf(query, b)));
  const end = query.limit === undefined ? undefined : query.offset + query.limit;
  return { jobs: wanted.slice(query.offset, end), total: wanted.length };
}

/** One workflow as JSON, with its nodes, and with its results once it is finished; undefined for an unknown id. Seeds stay exact. */
export async function pageJobJson(
  context: ServerContext,
  owner: string,
  promptId: string,
): Promise<string | undefined> {
  const id = jobIdOf(owner, promptId);
  const open = context.comfyui.hub.open(owner).find((job) => job.id === id);
  if (open) return JSON.stringify(pageJob(open));
  const job = await context.queue.get(id);
  if (!job || !isWorkflowJob(job) || (job.state !== 'done' && job.state !== 'failed')) return undefined;
  const { outputs, status, messages } = outcomeOf(job);
  const rest = { outputs, execution_status: { status_str: status, completed: status === 'success', messages } };
  const { prompt, extra } = job.request;
  return `${JSON.stringify({ ...pageJob(job), ...rest }).slice(0, -1)},"workflow":{"prompt":${prompt},"extra_data":${extra}}}`;
}

/** Takes a workflow that waits out of the queue, or stops one that runs. False where it is neither. */
export async function cancelPageJob(
  { comfyui, queue }: ServerContext,
  owner: string,
  promptId: string,
): Promise<boolean> {
  const id = jobIdOf(owner, promptId);
  const job = comfyui.hub.open(owner).find((open) => open.id === id);
  if (job?.state === 'running') queue.send(id, 'interrupt');
  else if (job) await queue.cancel(id);
  return job !== undefined;
}
