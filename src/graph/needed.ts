/** The nodes and leaves that the outputs of a graph need. */

import type { AnyNode, Graph, NamedValue, Value } from './graph.ts';

export interface Needed {
  /** In the graph's order. */
  readonly nodes: readonly AnyNode[];
  readonly has: (leaf: { readonly value: Value }) => boolean;
}

/** Follows the outputs back to the nodes and leaves that they depend on. */
export function neededFor(graph: Graph, outputs: readonly NamedValue[] = graph.outputs): Needed {
  const ids = new Set(outputs.map(({ value }) => value.id));
  const nodes = graph.nodes.toReversed().filter((node) => {
    if (!ids.has(node.output.id)) return false;
    for (const input of node.inputs) ids.add(input.id);
    return true;
  });
  return { nodes: nodes.reverse(), has: ({ value }) => ids.has(value.id) };
}
