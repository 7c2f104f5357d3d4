/**
 * Cutting a graph into consecutive segments, so that a network can be compiled a part at a time: only one part's weights are then in
 * memory twice while the runtime packs them.
 */

import type { AnyNode, Graph, NamedValue, Value } from './graph.ts';

/** Name under which a value crosses from one segment to a later one. */
const crossingName = (value: Value): string => `v${value.id}`;

/**
 * Segments to be run in order, each of parameters that cost at most `limit` of what is left (one node's parameters stay together). A
 * segment's outputs are the graph's outputs it makes and what later segments need; its inputs are the graph's inputs (all of them, because
 * symbolic sizes are read from them) and values of earlier segments, named `vID`.
 */
export function partition(
  graph: Graph,
  limit: (left: number) => number,
  cost: (parameter: NamedValue) => number,
): Graph[] {
  const parameters = new Map(graph.parameters.map((parameter) => [parameter.value.id, parameter]));
  const groups: AnyNode[][] = [[]];
  let used = new Set<number>();
  let spent = 0;
  let left = graph.parameters.reduce((sum, parameter) => sum + cost(parameter), 0);
  for (const node of graph.nodes) {
    const fresh = new Set(node.inputs.map((value) => value.id).filter((id) => parameters.has(id) && !used.has(id)));
    const price = [...fresh].reduce((sum, id) => sum + cost(parameters.get(id) as NamedValue), 0);
    if (spent > 0 && spent + price > limit(left)) {
      groups.push([]);
      used = new Set();
      left -= spent;
      spent = 0;
    }
    for (const id of fresh) used.add(id);
    spent += price;
    groups.at(-1)?.push(node);
  }
  return groups.map((nodes, index) => segment(graph, nodes, groups.slice(index + 1).flat()));
}

/** Segments that end with the nodes at these places, ascending, and one of the rest. Inputs and outputs as of `partition`. */
export function partitionAt(graph: Graph, ends: readonly number[]): Graph[] {
  const places = [0, ...ends.map((end) => end + 1), graph.nodes.length];
  const groups = places.slice(1).map((end, i) => graph.nodes.slice(places[i], end));
  return groups.map((nodes, index) => segment(graph, nodes, groups.slice(index + 1).flat()));
}

function segment(graph: Graph, nodes: readonly AnyNode[], later: readonly AnyNode[]): Graph {
  const made = new Map(nodes.map((node) => [node.output.id, node.output]));
  const read = new Map(nodes.flatMap((node) => node.inputs).map((value) => [value.id, value]));
  const neededLater = new Set(later.flatMap((node) => node.inputs).map((value) => value.id));
  const isLeaf = new Set([...graph.inputs, ...graph.parameters, ...graph.constants].map(({ value }) => value.id));
  const crossing: NamedValue[] = [];
  for (const [id, value] of read)
    if (!made.has(id) && !isLeaf.has(id)) crossing.push({ name: crossingName(value), value });
  const results = graph.outputs.filter(
    ({ value }) => made.has(value.id) || (later.length === 0 && isLeaf.has(value.id)),
  );
  const given = new Set(results.map(({ value }) => value.id));
  const used = ({ id }: Value): boolean => read.has(id) || given.has(id);
  const handedOn: NamedValue[] = [];
  for (const [id, value] of made) if (neededLater.has(id)) handedOn.push({ name: crossingName(value), value });
  return {
    inputs: [...graph.inputs, ...crossing],
    parameters: graph.parameters.filter(({ value }) => used(value)),
    constants: graph.constants.filter(({ value }) => used(value)),
    nodes,
    outputs: [...results, ...handedOn],
  };
}
