/**
 * executeWorkflow: runs a validated graph, node by node, lazily: only what its output nodes need and what is not kept from before.
 *
 *     const { graph, outputs } = validateWorkflow(given, nodes, lists);
 *     const result = await executeWorkflow(graph, { nodes, context, cache, targets: outputs, onEvent, signal });
 *
 * Events come in order through `onEvent` (`events.ts`). It does not throw for what a node throws: the result says how it ended.
 * Interruption by `signal` takes effect between nodes and between the steps of a sampler.
 */

import { demand, fieldsOf } from '../arguments.ts';
import { StableDiffusionError } from '../errors.ts';
import type { WorkflowCache } from './cache.ts';
import type { WorkflowContext } from './context.ts';
import type { NodeError, NodeOutput, WorkflowEvent } from './events.ts';
import { ExecutionOrder } from './execution-order.ts';
import type { ApiGraph } from './graph.ts';
import type { NodeTable, RunApart } from './definition.ts';
import { RunState } from './run-state.ts';
import { inputLists, runNode } from './run-one.ts';

export interface ExecuteOptions {
  readonly nodes: NodeTable;
  readonly context: WorkflowContext;
  /** Kept by the caller from run to run. */
  readonly cache: WorkflowCache;
  /** The output nodes to run. */
  readonly targets: readonly string[];
  readonly onEvent?: ((event: WorkflowEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Where large nodes run. Default: here, as all do. */
  readonly apart?: RunApart | undefined;
  /** Bytes that the values of the run may hold at the same time. Without it they are not counted. */
  readonly memory?: number | undefined;
  /** What pictures keep besides the graph: `workflow`. */
  readonly extraPngInfo?: Readonly<Record<string, unknown>> | undefined;
}

export interface WorkflowResult {
  readonly status: 'success' | 'error' | 'interrupted';
  /** What output nodes show, by node. */
  readonly outputs: Readonly<Record<string, NodeOutput>>;
  readonly error?: NodeError | undefined;
  /** The values of a node, a list for each output, where they are kept. */
  readonly values: (node: string) => readonly (readonly unknown[])[] | undefined;
}

/** Inputs as events show them: numbers and texts as they are. */
function shown(lists: Readonly<Record<string, readonly unknown[]>>): NodeError['currentInputs'] {
  const show = (value: unknown): unknown =>
    typeof value === 'object' && value !== null
      ? 'dtype' in value && 'shape' in value
        ? `${value.dtype} [${(value.shape as number[]).join(', ')}]`
        : 'object'
      : value;
  return Object.fromEntries(Object.entries(lists).map(([name, values]) => [name, values.map(show)]));
}

function typeOf(error: unknown): string {
  if (error instanceof StableDiffusionError) return `StableDiffusionError: ${error.code}`;
  return error instanceof Error ? error.name : typeof error;
}

/** Milliseconds after which others have a turn. */
const longestSlice = 10;

/** Runs a graph. See above. */
export async function executeWorkflow(graph: ApiGraph, options: ExecuteOptions): Promise<WorkflowResult> {
  demand((graph as unknown) instanceof Map, 'The workflow', 'a graph, as parseWorkflow gives', graph);
  fieldsOf(options, 'The options of executeWorkflow', 'an object with nodes and a context');
  const { nodes, cache, targets, onEvent = () => {}, signal } = options;
  const outputs = new Map<string, NodeOutput>();
  const executed: string[] = [];
  onEvent({ kind: 'start' });
  const state = await RunState.of(graph, options);
  onEvent({ kind: 'cached', nodes: [...graph.keys()].filter((id) => state.isKept(id)) });
  const classOf = (id: string): string => graph.get(id)?.class_type ?? '';
  const order = new ExecutionOrder(graph, targets, {
    isDone: (id) => state.isKept(id),
    isOutput: (id) => nodes.get(classOf(id))?.outputNode ?? false,
  });
  const failure = (node: string) => ({ node, nodeType: classOf(node), executed: [...executed] });
  const show = (node: string, ui: NodeOutput | undefined): void => {
    if (!ui) return;
    outputs.set(node, ui);
    onEvent({ kind: 'executed', node, output: ui });
  };
  let since = performance.now();
  let status: WorkflowResult['status'] = 'success';
  let error: NodeError | undefined;
  for (let id = order.next(); id !== undefined; id = order.next()) {
    // Values that are kept come without any waiting, and thousands of them would hold up everybody else.
    if (performance.now() - since > longestSlice) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      since = performance.now();
    }
    const kept = state.values(id);
    if (kept) {
      show(id, kept.ui);
      state.release(id);
    } else {
      onEvent({ kind: 'executing', node: id });
      try {
        const { ui } = await runNode(id, graph, state, options);
        show(id, ui);
        executed.push(id);
      } catch (cause) {
        if (signal?.aborted) {
          status = 'interrupted';
          onEvent({ kind: 'interrupted', ...failure(id) });
        } else {
          status = 'error';
          const message = cause instanceof Error ? cause.message : String(cause);
          error = {
            ...failure(id),
            message,
            exceptionType: typeOf(cause),
            traceback: [],
            currentInputs: shown(inputLists(id, graph, state)),
            currentOutputs: [...graph.keys()].filter((node) => state.isKept(node)),
            cause,
          };
          onEvent({ kind: 'error', ...error });
        }
        break;
      }
    }
    onEvent({ kind: 'finished', node: id });
    order.done(id);
  }
  cache.keepOnly(state.keys());
  if (status === 'success') onEvent({ kind: 'success' });
  return { status, outputs: Object.fromEntries(outputs), error, values: (id) => state.values(id)?.outputs };
}
