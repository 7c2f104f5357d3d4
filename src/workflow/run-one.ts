/**
 * One node: its inputs from the graph and from the nodes before it, one run for each entry of the longest input (shorter ones repeat their
 * last entry), and what the runs gave joined. Nodes that take lists run once.
 */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { NodeValues, WorkflowCache } from './cache.ts';
import type { WorkflowContext } from './context.ts';
import type { NodeOutput, WorkflowEvent } from './events.ts';
import { type ApiGraph, graphObject, isLink } from './graph.ts';
import type { NodeContext } from './context-in-run.ts';
import {
  type NodeInputs,
  type NodeResult,
  type NodeTable,
  type NodeType,
  outputsOf,
  type RunApart,
} from './definition.ts';
import { bytesToMake, checkMemory } from './memory-budget.ts';
import { nodeContext } from './run-context.ts';
import { refuseUnlinked } from './linked-values.ts';
import { pythonRepr } from './python-text.ts';
import type { RunState } from './run-state.ts';
import { runsAlone } from './runs-alone.ts';
import { bytesOfValue } from './values.ts';

type Lists = Readonly<Record<string, readonly unknown[]>>;

/** The inputs of a node as lists; links whose values are not there are left out. */
export function inputLists(id: string, graph: ApiGraph, state: RunState): Lists {
  const lists: Record<string, readonly unknown[]> = {};
  for (const [name, value] of Object.entries(graph.get(id)?.inputs ?? {})) {
    if (!isLink(value)) lists[name] = [value];
    else {
      const found = state.values(value[0])?.outputs.at(value[1]);
      if (found) lists[name] = found;
    }
  }
  return lists;
}

/** The inputs that the node declares, and what it is given besides. */
function declaredLists(type: NodeType, all: Lists, context: NodeContext): Lists {
  const declared = { ...type.required, ...type.optional };
  const lists: Record<string, readonly unknown[]> = Object.fromEntries(
    Object.entries(all).filter(([name]) => name in declared),
  );
  for (const [name, hidden] of Object.entries(type.hidden ?? {})) {
    if (hidden === 'PROMPT') lists[name] = [graphObject(context.prompt)];
    else if (hidden === 'EXTRA_PNGINFO') lists[name] = [context.extraPngInfo];
    else if (hidden === 'UNIQUE_ID') lists[name] = [context.nodeId];
  }
  return lists;
}

/**
 * The check of a graph leaves out lists of ComfyUI's newer form (COMBO), as there: the node itself refuses other values.
 * Throws `invalid-argument` for a name that is not in the list.
 */
function refuseUnlisted({ name: node, required, optional }: NodeType, inputs: NodeInputs): void {
  for (const [name, [kind, settings]] of Object.entries({ ...required, ...optional })) {
    const options = kind === 'COMBO' ? settings?.['options'] : undefined;
    const value = inputs[name];
    if (!Array.isArray(options) || value === undefined || options.includes(value)) continue;
    throw new StableDiffusionError(
      'invalid-argument',
      `${node}: ${name} is ${pythonRepr(value).slice(0, 100)}; it must be one of ${options.join(', ')}.`,
    );
  }
}

/** Bytes of work from which it is done elsewhere, where the context can do so. */
const large = 2 ** 18;

async function results(
  type: NodeType,
  lists: Lists,
  context: NodeContext,
  { held, most, apart }: { readonly held: number; readonly most: number; readonly apart: RunApart | undefined },
): Promise<NodeResult[]> {
  let made = 0;
  const run = async (inputs: NodeInputs): Promise<NodeResult> => {
    throwIfAborted(context.signal);
    refuseUnlisted(type, inputs);
    const bytes = bytesToMake(type, inputs);
    checkMemory(bytes, { held: held + made, most });
    const elsewhere =
      (bytes >= large || type.canTakeLong) && runsAlone(type) ? apart?.(type, inputs, context.signal) : undefined;
    const value = await (elsewhere ?? type.run(inputs, context));
    const result: NodeResult = Array.isArray(value) ? { outputs: value } : (value as NodeResult);
    made += bytesOfValue(result.outputs);
    return result;
  };
  if (type.takesLists) return [await run(lists)];
  const longest = Object.values(lists).reduce((most, { length }) => Math.max(most, length), 1);
  const all: NodeResult[] = [];
  for (let i = 0; i < longest; i++) {
    const one = Object.entries(lists).map(([name, values]) => [name, values[Math.min(i, values.length - 1)]]);
    all.push(await run(Object.fromEntries(one)));
  }
  return all;
}

/** The results of several runs as one. */
function joined(type: NodeType, all: readonly NodeResult[]): NodeValues {
  const outputs = outputsOf(type).map(({ isList }, slot) =>
    all.flatMap(({ outputs: own = [] }): readonly unknown[] =>
      isList ? (own[slot] as readonly unknown[]) : [own[slot]],
    ),
  );
  const uis = all.flatMap(({ ui }) => (ui ? [ui] : []));
  if (uis.length === 0) return { outputs, ui: undefined };
  const ui: Record<string, unknown[]> = {};
  for (const one of uis) for (const [name, values] of Object.entries(one)) ui[name] = [...(ui[name] ?? []), ...values];
  return { outputs, ui: ui as NodeOutput };
}

/** Runs a node and keeps its values. Throws what the node throws, and `aborted`. */
export async function runNode(
  id: string,
  graph: ApiGraph,
  state: RunState,
  options: {
    readonly nodes: NodeTable;
    readonly context: WorkflowContext;
    readonly cache: WorkflowCache;
    readonly onEvent?: ((event: WorkflowEvent) => void) | undefined;
    readonly signal?: AbortSignal | undefined;
    readonly memory?: number | undefined;
    readonly apart?: RunApart | undefined;
    readonly extraPngInfo?: Readonly<Record<string, unknown>> | undefined;
  },
): Promise<NodeValues> {
  throwIfAborted(options.signal);
  const node = graph.get(id);
  const type = options.nodes.get(node?.class_type ?? '');
  if (!type || !node) throw new StableDiffusionError('not-found', `Node ${id} has a class that is not there.`);
  refuseUnlinked(node, type);
  const context = nodeContext(id, graph, options);
  const lists = declaredLists(type, inputLists(id, graph, state), context);
  const memory = { held: state.held, most: options.memory ?? Number.POSITIVE_INFINITY, apart: options.apart };
  const values = joined(type, await results(type, lists, context, memory));
  throwIfAborted(options.signal);
  state.keep(id, values);
  return values;
}
