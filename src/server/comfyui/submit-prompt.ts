/** POST /prompt: a workflow is read exactly, checked as ComfyUI checks it, and becomes a job (ComfyUI server.py). */

import { createHash, randomUUID } from 'node:crypto';
import { setImmediate as othersTurn } from 'node:timers/promises';
import { StableDiffusionError } from '../../errors.ts';
import {
  type ExactObject,
  isExactObject,
  orderedKeys,
  orderedObject,
  parseExactJson,
  printExactJson,
} from '../../formats/exact-json.ts';
import { graphObject } from '../../workflow/graph.ts';
import { pythonFloat } from '../../workflow/python-text.ts';
import { anyGraph } from '../../workflow/page/page-to-api.ts';
import { type NodeErrors, type ValidationError, validateWorkflow } from '../../workflow/validate.ts';
import { assertWorker } from '../accept-job.ts';
import { hasMoreNames } from '../admission/count-names.ts';
import { hasMoreValues } from '../admission/count-values.ts';
import { createPlaces } from '../admission/places.ts';
import type { ServerContext } from '../context.ts';
import { isFinished, isWorkflowJob, type WorkflowJob, type WorkflowRequest } from '../job.ts';
import type { Limits } from '../limits.ts';
import { checkTexts, workOfGraph } from './prompt-work.ts';
import { decodeText } from '../../files/text-encoding.ts';

export type Submitted =
  | { readonly promptId: string; readonly number: number; readonly nodeErrors: Readonly<Record<string, NodeErrors>> }
  | { readonly refused: ValidationError; readonly nodeErrors: Readonly<Record<string, NodeErrors>> };

const refusal = (type: string, message: string, details = message): ValidationError => ({
  type,
  message,
  details,
  extra_info: {},
});

/** Secrets that clients of paid services send along; they are never kept. */
const secrets = new Set(['auth_token_comfy_org', 'api_key_comfy_org', 'comfy_usage_source']);

/** The id of a job: of its own, or the same for the same name of the same caller. */
export const jobIdOf = (owner: string, promptId: string): string =>
  `w${createHash('sha256')
    .update(JSON.stringify([owner, promptId]))
    .digest('hex')
    .slice(0, 40)}`;

function bodyOf(body: Uint8Array | undefined, { workflowElements, workflowNames }: Limits): ExactObject {
  const bytes = Buffer.from(body ?? new Uint8Array());
  if (hasMoreValues(bytes, workflowElements))
    throw new StableDiffusionError('too-large', `The workflow has more than ${workflowElements} values.`);
  if (hasMoreNames(bytes, workflowNames))
    throw new StableDiffusionError('too-large', `The workflow has more than ${workflowNames} different names.`);
  try {
    const text = decodeText(bytes);
    if (text === undefined) throw new StableDiffusionError('invalid-argument', 'The body is not UTF-8.');
    const value = parseExactJson(text, 'The body', { keepsNaN: true });
    if (isExactObject(value)) return value;
    // ComfyUI looks for `prompt` in lists and texts too.
    if (typeof value === 'string' || Array.isArray(value)) return {};
  } catch (cause) {
    if (!(cause instanceof StableDiffusionError)) throw cause;
    throw new StableDiffusionError('invalid-argument', cause.message, { cause, details: { status: 400 } });
  }
  throw new StableDiffusionError('invalid-argument', 'The body is not an object with a prompt.', {
    details: { status: 400 },
  });
}

/** `float(number)`; NaN for what is no number. */
function placeOf(number: unknown): number {
  try {
    return pythonFloat(number);
  } catch {
    return Number.NaN;
  }
}

/** The place in the queue: counted up, unless the client says which. */
function numberOf({ number, front }: ExactObject, next: () => number): number {
  if (number !== undefined && number !== null) {
    const given = placeOf(number);
    if (Number.isFinite(given)) return given;
    throw new StableDiffusionError('invalid-argument', 'The number of the prompt is not a number.', {
      details: { status: 400 },
    });
  }
  const own = next();
  return front ? -own : own;
}

function extraOf(body: ExactObject): Readonly<Record<string, unknown>> {
  const given = isExactObject(body['extra_data']) ? body['extra_data'] : {};
  const entries = orderedKeys(given)
    .filter((key) => !secrets.has(key))
    .map((key): [string, unknown] => [key, given[key]]);
  if (body['client_id'] !== undefined) entries.push(['client_id', body['client_id']]);
  return orderedObject(new Map(entries));
}

function targetsOf(body: ExactObject): readonly string[] | undefined {
  const given = body['partial_execution_targets'];
  return Array.isArray(given) ? given.map(String) : undefined;
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value.length > 0 && value.length <= 200 ? value : undefined;

/** The id that ComfyUI's page gave the workflow. */
function workflowIdOf(extra: Readonly<Record<string, unknown>>): string | undefined {
  const info = extra['extra_pnginfo'];
  const workflow = isExactObject(info) ? info['workflow'] : undefined;
  return isExactObject(workflow) ? textOf(workflow['id']) : undefined;
}

/** Whether intermediate pictures are wanted: the client's word, else the operator's. */
function wantsPreviews(extra: Readonly<Record<string, unknown>>, byDefault: boolean): boolean {
  const method = extra['preview_method'];
  return typeof method === 'string' && method !== 'default' ? method !== 'none' : byDefault;
}

/** What refuses a prompt that is no object of nodes. */
function refusalOf(prompt: unknown): ValidationError | undefined {
  if (isExactObject(prompt)) return undefined;
  if (prompt === undefined) return refusal('no_prompt', 'No prompt provided');
  return Array.isArray(prompt) && prompt.length === 0
    ? refusal('prompt_no_outputs', 'Prompt has no outputs', '')
    : refusal('invalid_prompt', 'The prompt is not an object of nodes by their ids.', '');
}

/** For reading workflows, of a megabyte or more: one request of a caller at a time. */
const reading = createPlaces(1);

/** Takes a workflow in. Throws `too-large`, `busy`, `invalid-argument` for a body that is not JSON. */
export function submitPrompt(context: ServerContext, owner: string, bytes: Uint8Array | undefined): Promise<Submitted> {
  return reading.run(owner, async () => {
    // Others have their turn between two workflows.
    await othersTurn();
    return takeIn(context, owner, bytes);
  });
}

async function takeIn(context: ServerContext, owner: string, bytes: Uint8Array | undefined): Promise<Submitted> {
  const { comfyui, limits, isStopping } = context;
  if (isStopping())
    throw new StableDiffusionError('busy', 'The server is shutting down.', { details: { scope: 'shutdown' } });
  const body = bodyOf(bytes, limits);
  await othersTurn();
  const number = numberOf(body, comfyui.nextNumber);
  const notRun = refusalOf(body['prompt']);
  if (notRun) return { refused: notRun, nodeErrors: {} };
  const given = anyGraph(body['prompt'], { nodes: comfyui.nodes });
  checkTexts(given, limits);
  const lists = await comfyui.listsOf(owner);
  await othersTurn();
  const checked = validateWorkflow(given, comfyui.nodes, lists, targetsOf(body));
  if (checked.error || !checked.valid)
    return {
      refused: checked.error ?? refusal('prompt_outputs_failed_validation', 'Prompt outputs failed validation', ''),
      nodeErrors: checked.nodeErrors,
    };
  await assertWorker(context);
  await othersTurn();
  const extra = extraOf(body);
  const promptId = textOf(body['prompt_id']) ?? randomUUID();
  const clientId = textOf(extra['client_id']);
  const workflowId = workflowIdOf(extra);
  await addJob(context, owner, {
    task: 'workflow',
    promptId,
    number,
    ...(clientId === undefined ? {} : { clientId }),
    ...(workflowId === undefined ? {} : { workflowId }),
    prompt: printExactJson(graphObject(checked.graph), { keepsNaN: true }),
    extra: printExactJson(extra),
    outputs: [...checked.outputs],
    previews: wantsPreviews(extra, comfyui.previews),
    work: workOfGraph(checked.graph, limits),
  });
  return { promptId, number, nodeErrors: checked.nodeErrors };
}

const sizeOf = ({ prompt, extra }: WorkflowRequest): number => prompt.length + extra.length;

/** Throws `busy` where a caller's workflows that wait or run would hold more than is allowed. */
function checkHeld(open: readonly WorkflowJob[], request: WorkflowRequest, limits: Limits): void {
  const held = open.reduce((sum, job) => sum + sizeOf(job.request), sizeOf(request));
  if (held > limits.workflowBytesPerCaller)
    throw new StableDiffusionError(
      'busy',
      `Your workflows that wait hold ${held} bytes, and ${limits.workflowBytesPerCaller} are allowed. Try again later.`,
      { details: { scope: 'caller' } },
    );
}

async function addJob(context: ServerContext, owner: string, request: WorkflowRequest): Promise<void> {
  const { queue, limits, metrics, watch, comfyui } = context;
  const id = jobIdOf(owner, request.promptId);
  const known = await queue.get(id);
  // A client that uses a name again means a new run.
  if (known && isFinished(known)) await queue.remove(id);
  checkHeld(comfyui.hub.open(owner), request, limits);
  const behind = comfyui.hub
    .open(owner)
    .filter(({ state, request: other }) => state === 'queued' && other.number > request.number)
    .sort((a, b) => a.request.number - b.request.number);
  try {
    const job = await queue.add(
      { id, owner, source: 'comfyui', priority: 'normal', request, before: behind[0]?.id },
      limits,
    );
    metrics.accepted('comfyui');
    watch.track(job);
    // The sockets of all servers hear of it.
    if (isWorkflowJob(job)) queue.publish({ kind: 'state', id, job: { ...job, state: 'queued' } });
  } catch (error) {
    if (error instanceof StableDiffusionError && error.code === 'busy') metrics.refused(String(error.details['scope']));
    throw error;
  }
}
