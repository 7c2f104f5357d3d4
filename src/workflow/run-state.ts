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
  readonly #graph: ApiGraph;
  /** Runs that still need a node's values. */
  readonly #readers = new Map<string, Set<string>>();
  #held = 0;

  private constructor(
    cache: WorkflowCache,
    keys: ReadonlyMap<string, string>,
    graph: ApiGraph,
    targets: readonly string[],
  ) {
    this.#cache = cache;
    this.#keys = keys;
    this.#graph = graph;
    for (const id of ancestorsFirst(graph, targets)) {
      const own = keys.get(id);
      if (own === undefined || cache.has(own)) continue;
      for (const key of this.#inputKeys(id)) this.#readers.set(key, (this.#readers.get(key) ?? new Set()).add(id));
    }
    for (const key of this.#readers.keys()) this.#held += cache.bytes(key);
  }

  /** Bytes of the values that nodes of this run still need. */
  get held(): number {
    return this.#held;
  }

  #inputKeys(id: string): ReadonlySet<string> {
    const links = Object.values(this.#graph.get(id)?.inputs ?? {}).filter(isLink);
    return new Set(links.flatMap(([from]) => this.#keys.get(from) ?? []));
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
    const before = this.#cache.bytes(key);
    this.#cache.set(key, values, (other) => this.#isNeeded(other));
    if (this.#isNeeded(key)) this.#held += this.#cache.bytes(key) - before;
    this.release(id);
  }

  #isNeeded(key: string): boolean {
    return (this.#readers.get(key)?.size ?? 0) > 0;
  }

  /** A node needs its inputs no longer. */
  release(id: string): void {
    for (const input of this.#inputKeys(id)) {
      const readers = this.#readers.get(input);
      if (readers?.delete(id) && readers.size === 0) this.#held -= this.#cache.bytes(input);
    }
  }
}
