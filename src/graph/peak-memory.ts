/**
 * The memory that one run of a graph needs for its values: the largest sum of what is alive at one node, by the order of the nodes. Each
 * value lives from the node that makes it to the last that reads it. Weights and the kernels' own scratch space come on top.
 */

import { type Bindings, evaluateShape } from './dim.ts';
import type { AnyNode, Graph } from './graph.ts';
import { neededFor } from './needed.ts';
import type { OpName } from './operations.ts';
import type { Value } from './value.ts';

/** Operations whose output is their input's memory with another shape. */
const views: ReadonlySet<OpName> = new Set<OpName>(['reshape']);

/** Bytes of the values that are alive at the same time; `bytesOf` gives those of one element. */
export function peakMemory(graph: Graph, bindings: Bindings, bytesOf: (value: Value) => number): number {
  const { nodes } = neededFor(graph);
  const last = lastReaders(graph, nodes);
  const sizes = new Map<number, number>();
  const sizeOf = (value: Value): number =>
    evaluateShape(value.shape, bindings).reduce((product, size) => product * size, 1) * bytesOf(value);
  const take = (value: Value, size: number): number => {
    sizes.set(value.id, size);
    return size;
  };
  let alive = graph.inputs.reduce((sum, { value }) => sum + take(value, sizeOf(value)), 0);
  let peak = alive;
  for (const [at, node] of nodes.entries()) {
    const [first] = node.inputs;
    const isView = views.has(node.op) && first !== undefined && last.get(first.id) === at;
    if (isView) sizes.set(node.output.id, sizes.get(first.id) ?? 0);
    else alive += take(node.output, sizeOf(node.output));
    peak = Math.max(peak, alive);
    for (const { id } of node.inputs) {
      if (last.get(id) !== at) continue;
      if (!isView) alive -= sizes.get(id) ?? 0;
      sizes.delete(id);
    }
  }
  return peak;
}

/** Number of the last node that reads each value. Outputs of the graph are never done with. */
function lastReaders(graph: Graph, nodes: readonly AnyNode[]): ReadonlyMap<number, number> {
  const last = new Map<number, number>();
  for (const [at, { inputs }] of nodes.entries()) for (const { id } of inputs) last.set(id, at);
  for (const { value } of graph.outputs) last.set(value.id, nodes.length);
  return last;
}
