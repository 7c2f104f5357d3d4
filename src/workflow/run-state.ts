/** The state of one run: the key of each node, its values where they are there, and which of them are still needed. */

import type { NodeValues, WorkflowCache } from './cache.ts';
import type { WorkflowContext } from './context.ts';
import { type ApiGraph, isLink } from './graph.ts';
import type { NodeContext } from './context-in-run.ts';
import type { NodeInputs, NodeTable, NodeType } from './definition.ts';
import { nodeContext } from './run-context.ts';

interface RunOptions {
  readonly nodes: NodeTable;
  readonly context: WorkflowContext;
  readonly cache: WorkflowCache;
  readonly targets: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** Nodes before the nodes that need them, from the given ones upwards; a circle is left as it is. */
function ancestorsFirst(graph: ApiGraph, from: readonly string[]): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  const stack: { readonly id: string; readonly isLeaving: boolean }[] = from.map((id) => ({ id, isLeaving: false }));
  for (let next = stack.pop(); next; next = stack.pop()) {
    const { id, isLeaving } = next;
    if (isLeaving) order.push(id);
    if (isLeaving || seen.has(id)) continue;
    seen.add(id);
    stack.push({ id, isLeaving: true });
    for (const value of Object.values(graph.get(id)?.inputs ?? {}))
      if (isLink(value)) stack.push({ id: value[0], isLeaving: false });
  }
  return order;
}

/** What the node says of its inputs; NaN, for a node that always runs, where it cannot. */
async function changedValue(type: NodeType, inputs: NodeInputs, context: NodeContext): Promise<unknown> {
  try {
    return await type.isChanged?.(inputs, context);
  } catch {
    return Number.NaN;
  }
}

export class RunState {
  readonly #cache: WorkflowCache;
  readonly #keys: ReadonlyMap<string, string>;
  /** Runs that still need a node's values. */
  readonly #readers = new Map<string, Set<string>>();

  private constructor(
    cache: WorkflowCache,
    keys: ReadonlyMap<string, string>,
    graph: ApiGraph,
    targets: readonly string[],
  ) {
    this.#cache = cache;
    this.#keys = keys;
    for (const id of ancestorsFirst(graph, targets)) {
      const own = keys.get(id);
      if (own === undefined || cache.has(own)) continue;
      for (const value of Object.values(graph.get(id)?.inputs ?? {})) {
        const key = isLink(value) ? keys.get(value[0]) : undefined;
        if (key) this.#readers.set(key, (this.#readers.get(key) ?? new Set()).add(id));
      }
    }
  }

  /** Works out the keys of all nodes of the graph: what it contains stays kept, needed by the targets or not. */
  static async of(graph: ApiGraph, options: RunOptions): Promise<RunState> {
    const { nodes, cache, targets } = options;
    const keys = new Map<string, string>();
    for (const id of ancestorsFirst(graph, [...graph.keys()])) {
      const node = graph.get(id);
      const type = nodes.get(node?.class_type ?? '');
      if (!node || !type) continue;
      const constants = Object.fromEntries(Object.entries(node.inputs).filter(([, value]) => !isLink(value)));
      const changed = await changedValue(type, constants, nodeContext(id, graph, options));
      const isNever = typeof changed === 'number' && Number.isNaN(changed);
      const ownId = Object.values(type.hidden ?? {}).includes('UNIQUE_ID');
      keys.set(
        id,
        cache.key([
          node.class_type,
          isNever ? `never ${Math.random()}` : (changed ?? null),
          ownId ? id : null,
          Object.entries(node.inputs)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([name, value]) => [
              name,
              isLink(value) ? { node: keys.get(value[0]) ?? value[0], output: value[1] } : [value],
            ]),
        ]),
      );
    }
    return new RunState(cache, keys, graph, targets);
  }

  keys(): ReadonlySet<string> {
    return new Set(this.#keys.values());
  }

  isKept(id: string): boolean {
    const key = this.#keys.get(id);
    return key !== undefined && this.#cache.has(key);
  }

  values(id: string): NodeValues | undefined {
    const key = this.#keys.get(id);
    return key === undefined ? undefined : this.#cache.get(key);
  }

  /** Keeps what a node gave; the values before it are no longer needed by it. */
  keep(id: string, values: NodeValues): void {
    const key = this.#keys.get(id);
    if (key === undefined) return;
    for (const readers of this.#readers.values()) readers.delete(id);
    this.#cache.set(key, values, (other) => (this.#readers.get(other)?.size ?? 0) > 0);
  }
}
