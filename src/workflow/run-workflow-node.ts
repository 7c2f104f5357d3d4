/**
 * runWorkflow: a workflow from its text or object to its pictures, in one call.
 *
 *     const context = openWorkflowContext({ folders: workflowFolders('comfy'), engine: createNodeEngine() });
 *     const { outputs } = await runWorkflow(await readFile('workflow.json', 'utf8'), { context });
 */

import { demand, fieldsOf } from '../arguments.ts';
import { freeMemory } from '../engine/free-memory-node.ts';
import { StableDiffusionError } from '../errors.ts';
import { WorkflowCache } from './cache.ts';
import type { WorkflowContext } from './context.ts';
import type { WorkflowEvent } from './events.ts';
import { executeWorkflow, type WorkflowResult } from './execute.ts';
import type { ApiGraph } from './graph.ts';
import { parseWorkflow } from './page/page-to-api.ts';
import type { NodeTable } from './definition.ts';
import { nodes as allNodes } from './nodes/index.ts';
import { validateWorkflow } from './validate.ts';

export interface RunWorkflowOptions {
  readonly context: WorkflowContext;
  /** Default: all of ours. */
  readonly nodes?: NodeTable | undefined;
  /** Kept from run to run, so that only what changed runs again. Default: a new one. */
  readonly cache?: WorkflowCache | undefined;
  /** Only these output nodes. */
  readonly targets?: readonly string[] | undefined;
  readonly onEvent?: ((event: WorkflowEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly extraPngInfo?: Readonly<Record<string, unknown>> | undefined;
  /** Bytes that pictures and latents may hold at the same time. Default: a third of what is free. */
  readonly memory?: number | undefined;
}

/**
 * Runs a workflow: a text in the format of ComfyUI's API or of its page, or a graph.
 * @throws `invalid-argument` for a graph that ComfyUI's checks refuse, with all errors in `details`; what the node that failed threw; `aborted`
 */
export async function runWorkflow(workflow: string | ApiGraph, options: RunWorkflowOptions): Promise<WorkflowResult> {
  demand(
    typeof workflow === 'string' || (workflow as unknown) instanceof Map,
    'The workflow',
    'the text of its file, or a graph, as parseWorkflow gives',
    workflow,
  );
  const { context: opened } = fieldsOf(options, 'The options of runWorkflow', 'an object with a context');
  fieldsOf(opened, 'The context of runWorkflow', 'one that openWorkflowContext gives');
  const { context, nodes = allNodes, cache = new WorkflowCache(), targets, onEvent, signal, extraPngInfo } = options;
  // The work on values takes as much again, and the networks need some too.
  const { memory = freeMemory() / 3 } = options;
  const given = typeof workflow === 'string' ? parseWorkflow(workflow, { nodes, now: context.now() }) : workflow;
  const { valid, error, nodeErrors, outputs, graph } = validateWorkflow(
    given,
    nodes,
    await context.files.lists(),
    targets,
  );
  if (!valid)
    throw new StableDiffusionError(
      'invalid-argument',
      `The workflow cannot be run: ${refusalText(error, nodeErrors)}`,
      {
        details: { error, nodeErrors },
      },
    );
  const result = await executeWorkflow(graph, {
    nodes,
    context,
    cache,
    targets: outputs,
    onEvent,
    signal,
    extraPngInfo,
    memory,
  });
  if (result.status === 'interrupted') throw new StableDiffusionError('aborted', 'The workflow was interrupted.');
  if (!result.error) return result;
  const { node, nodeType, message, cause } = result.error;
  throw new StableDiffusionError(
    cause instanceof StableDiffusionError ? cause.code : 'engine-failed',
    `Node ${node} (${nodeType}): ${message}`,
    { cause },
  );
}

/** Node by node, what is wrong. */
function refusalText(
  error: ReturnType<typeof validateWorkflow>['error'],
  nodeErrors: ReturnType<typeof validateWorkflow>['nodeErrors'],
): string {
  const lines = Object.entries(nodeErrors).flatMap(([id, { class_type, errors }]) =>
    errors.map(({ message, details }) => `node ${id} (${class_type}): ${message}: ${details}`),
  );
  return lines.length > 0 ? `${lines.join('; ')}.` : `${error?.message ?? ''} ${error?.details ?? ''}`.trim();
}
