/** The context of one node in one run. */

import type { WorkflowCache } from './cache.ts';
import type { WorkflowContext } from './context.ts';
import type { WorkflowEvent } from './events.ts';
import type { ApiGraph } from './graph.ts';
import type { NodeTable } from './definition.ts';
import type { NodeContext } from './context-in-run.ts';

export interface NodeContextOptions {
  readonly nodes: NodeTable;
  readonly context: WorkflowContext;
  readonly cache: WorkflowCache;
  readonly onEvent?: ((event: WorkflowEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly extraPngInfo?: Readonly<Record<string, unknown>> | undefined;
}

export function nodeContext(id: string, graph: ApiGraph, options: NodeContextOptions): NodeContext {
  const { nodes, context, cache, onEvent, signal, extraPngInfo } = options;
  return {
    ...context,
    nodeId: id,
    prompt: graph,
    extraPngInfo,
    signal,
    progress: (value, max, preview) => onEvent?.({ kind: 'progress', node: id, value, max, preview }),
    isFloatInput: (classType, input) => {
      const type = nodes.get(classType);
      return { ...type?.required, ...type?.optional }[input]?.[0] === 'FLOAT';
    },
    memory: cache.memory(id, graph.get(id)?.class_type ?? ''),
  };
}
