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
import { type NodeResult, type NodeTable, type NodeType, outputsOf } from './definition.ts';
import { nodeContext } from './run-context.ts';
import type { RunState } from './run-state.ts';

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

async function results(type: NodeType, lists: Lists, context: NodeContext): Promise<NodeResult[]> {
  const asResult = (value: NodeResult | readonly unknown[]): NodeResult =>
    Array.isArray(value) ? { outputs: value } : (value as NodeResult);
  if (type.takesLists) return [asResult(await type.run(lists, context))];
  const longest = Math.max(1, ...Object.values(lists).map(({ length }) => length));
  const made: NodeResult[] = [];
  for (let i = 0; i < longest; i++) {
    throwIfAborted(context.signal);
    const one = Object.entries(lists).map(([name, values]) => [name, values[Math.min(i, values.length - 1)]]);
    made.push(asResult(await type.run(Object.fromEntries(one), context)));
  }
  return made;
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
    readonly extraPngInfo?: Readonly<Record<string, unknown>> | undefined;
  },
): Promise<NodeValues> {
  throwIfAborted(options.signal);
  const type = options.nodes.get(graph.get(id)?.class_type ?? '');
  if (!type) throw new StableDiffusionError('not-found', `Node ${id} has a class that is not there.`);
  const context = nodeContext(id, graph, options);
  const lists = declaredLists(type, inputLists(id, graph, state), context);
  const values = joined(type, await results(type, lists, context));
  throwIfAborted(options.signal);
  state.keep(id, values);
  return values;
}
