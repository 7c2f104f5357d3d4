/** The history of a caller's workflows, from the finished jobs in the queue. Texts of JSON are put together as they are: seeds stay exact. */

import { setImmediate as othersTurn } from 'node:timers/promises';
import { createPlaces } from '../admission/places.ts';
import type { ServerContext } from '../context.ts';
import { isWorkflowJob, type WorkflowJob, type WorkflowOutcome } from '../job.ts';
import { jobIdOf } from './submit-prompt.ts';

const pageSize = 100;

/** Bytes that are put together before others have their turn. */
const slice = 2 ** 20;

/** For putting workflows together: one request of a caller at a time. */
const reading = createPlaces(1);

export interface HistoryQuery {
  /** How many of the newest; undefined for all. With an offset that is not below zero one is the least. */
  readonly maxItems?: number | undefined;
  /** The first, counted from the oldest; below zero for the newest. */
  readonly offset?: number | undefined;
}

const reportedOutcome = ({ result, error }: WorkflowJob): WorkflowOutcome | undefined =>
  result?.workflow ?? error?.workflow;

/** A workflow as ComfyUI's queue lists it: number, id, nodes, extra data, output nodes. */
const queueItem = ({ request }: WorkflowJob): string =>
  `[${JSON.stringify(request.number)},${JSON.stringify(request.promptId)},${request.prompt},${request.extra},${JSON.stringify(request.outputs)}]`;

/** Open workflows as ComfyUI's queue lists them, in pieces of JSON. */
function* queuePieces(running: readonly WorkflowJob[], waiting: readonly WorkflowJob[]): Generator<string> {
  yield '{"queue_running":[';
  for (const [i, job] of running.entries()) yield `${i > 0 ? ',' : ''}${queueItem(job)}`;
  yield '],"queue_pending":[';
  for (const [i, job] of waiting.entries()) yield `${i > 0 ? ',' : ''}${queueItem(job)}`;
  yield ']}';
}

/** The last answer of each caller, for as long as it is being sent, and the workflows in it. */
const answers = new Map<string, WeakRef<Uint8Array>>();
const jobsIn = new WeakMap<Uint8Array, readonly WorkflowJob[]>();

/** The last answer, if these are the workflows in it. */
function lastAnswer(owner: string, jobs: readonly WorkflowJob[]): Uint8Array | undefined {
  const answer = answers.get(owner)?.deref();
  const known = answer && jobsIn.get(answer);
  return known?.length === jobs.length && known.every((job, i) => job === jobs[i]) ? answer : undefined;
}

function keepAnswer(owner: string, answer: Uint8Array, jobs: readonly WorkflowJob[]): void {
  for (const [other, kept] of answers) if (!kept.deref()) answers.delete(other);
  answers.set(owner, new WeakRef(answer));
  jobsIn.set(answer, jobs);
}

/**
 * The queue as JSON, in memory once even if several requests ask for it. Others have their turn between two parts of it, and a caller's
 * requests come one after another.
 */
export function queueJson(
  owner: string,
  running: readonly WorkflowJob[],
  waiting: readonly WorkflowJob[],
): Promise<Uint8Array> {
  const jobs = [...running, ...waiting];
  return reading.run(owner, async () => {
    const last = lastAnswer(owner, jobs);
    if (last) return last;
    let left = slice;
    const others = async (bytes: number): Promise<void> => {
      left -= bytes;
      if (left > 0) return;
      await othersTurn();
      left = slice;
    };
    let size = 0;
    for (const piece of queuePieces(running, waiting)) {
      const bytes = Buffer.byteLength(piece);
      size += bytes;
      await others(bytes);
    }
    const json = Buffer.allocUnsafeSlow(size);
    let at = 0;
    for (const piece of queuePieces(running, waiting)) {
      const bytes = json.write(piece, at);
      at += bytes;
      await others(bytes);
    }
    keepAnswer(owner, json, jobs);
    return json;
  });
}

/** How a job ended that tells nothing of its nodes: its worker ended, or it was given up. */
function unknownOutcome({ request, error, finishedAt }: WorkflowJob): WorkflowOutcome {
  const data = {
    prompt_id: request.promptId,
    node_id: '',
    node_type: '',
    executed: [],
    exception_message: error?.message ?? 'The workflow failed.',
    exception_type: error?.code ?? 'engine-failed',
    traceback: [],
    current_inputs: {},
    current_outputs: [],
    timestamp: finishedAt,
  };
  return { status: 'error', outputs: {}, messages: [['execution_error', data]] };
}

/** How a finished workflow ended, and what it made. */
export const outcomeOf = (job: WorkflowJob): WorkflowOutcome => reportedOutcome(job) ?? unknownOutcome(job);

function historyItem(job: WorkflowJob): string {
  const { status, outputs, messages } = outcomeOf(job);
  const meta = Object.fromEntries(
    Object.keys(outputs).map((id) => [id, { node_id: id, display_node: id, parent_node: null, real_node_id: id }]),
  );
  const rest = { outputs, status: { status_str: status, completed: status === 'success', messages }, meta };
  return `${JSON.stringify(job.request.promptId)}:{"prompt":${queueItem(job)},${JSON.stringify(rest).slice(1)}`;
}

/**
 * Finished workflows, the newest first, of `most` characters at most. What was taken out of the queue before it ran is not among them. Pages are
 * read in turn with the requests of others, and for one caller by one request at a time: thousands of large workflows may be kept.
 */
export async function* finishedWorkflows(
  { queue, limits }: Pick<ServerContext, 'queue' | 'limits'>,
  owner: string,
  most = limits.historyBytes,
): AsyncGenerator<WorkflowJob, void, void> {
  const leave = await reading.take(owner);
  try {
    let size = 0;
    for (let before: string | null | undefined; before !== null; ) {
      const page = await queue.list({ owner, source: 'comfyui', before: before ?? undefined, limit: pageSize });
      for (const job of page.jobs) {
        if (!isWorkflowJob(job)) continue;
        size += job.request.prompt.length + job.request.extra.length;
        if (size > most) return;
        if (job.state === 'done' || job.state === 'failed') yield job;
      }
      before = page.next;
      await othersTurn();
    }
  } finally {
    leave();
  }
}

/** The history as JSON. The oldest workflow is the first. */
export async function historyJson(context: ServerContext, owner: string, query: HistoryQuery = {}): Promise<string> {
  const { maxItems, offset = -1 } = query;
  const jobs: { readonly at: number; readonly text: string }[] = [];
  let size = 0;
  const enough = offset < 0 ? maxItems : undefined;
  for await (const job of finishedWorkflows(context, owner)) {
    if (enough !== undefined && jobs.length >= enough) break;
    const text = historyItem(job);
    size += text.length;
    if (size > context.limits.historyBytes) break;
    jobs.push({ at: job.finishedAt ?? 0, text });
  }
  jobs.sort((a, b) => a.at - b.at);
  const shown =
    offset < 0 ? jobs : jobs.slice(offset, maxItems === undefined ? undefined : offset + Math.max(1, maxItems));
  return `{${shown.map(({ text }) => text).join(',')}}`;
}

/** One workflow of the history as JSON; empty for one that is not there. */
export async function historyOf(context: ServerContext, owner: string, promptId: string): Promise<string> {
  const job = await context.queue.get(jobIdOf(owner, promptId));
  const isThere = job && isWorkflowJob(job) && (job.state === 'done' || job.state === 'failed');
  return isThere ? `{${historyItem(job)}}` : '{}';
}

/** Forgets workflows; all of them without ids. */
export async function forgetHistory(
  context: ServerContext,
  owner: string,
  promptIds: readonly string[] | undefined,
): Promise<void> {
  if (promptIds) {
    for (const promptId of promptIds) await context.queue.remove(jobIdOf(owner, promptId));
    return;
  }
  const ids: string[] = [];
  for await (const { id } of finishedWorkflows(context, owner, Number.POSITIVE_INFINITY)) ids.push(id);
  for (const id of ids) await context.queue.remove(id);
}
