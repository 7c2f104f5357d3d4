/**
 * Linear layers of which only slices are used (GEGLU's value and gate; q, k and v in one matrix) as one layer for each slice, with its rows
 * of the matrix: then neither their large result nor its gradient is taken apart and put together, only the matrix is.
 */

import { linear, slice } from './functions.ts';
import type { AnyNode, Graph, Value } from './graph.ts';
import { applyNode, replay } from './replay.ts';
import type { Sym } from './trace.ts';

/** `isTrained` selects the matrices to split: for fixed ones the runtime would do the slicing at load time and keep both copies. */
export function splitLinears(graph: Graph, isTrained: (matrix: Value) => boolean): Graph {
  const readers = new Map<number, AnyNode[]>();
  for (const node of graph.nodes) for (const { id } of node.inputs) readers.set(id, [...(readers.get(id) ?? []), node]);
  const outputs = new Set(graph.outputs.map(({ value }) => value.id));
  const split = new Set<number>();
  for (const { op, inputs, output } of graph.nodes) {
    if (op !== 'linear' || outputs.has(output.id) || !inputs[1] || !isTrained(inputs[1])) continue;
    const slices = readers.get(output.id) ?? [];
    if (
      slices.every(
        (reader) =>
          reader.op === 'slice' && reader.attributes.axis === output.shape.length - 1 && reader.attributes.step === 1,
      )
    )
      split.add(output.id);
  }
  if (split.size === 0) return graph;
  const made = new Map<number, readonly Sym[]>();
  const { builder, outputs: results } = replay(graph, (b, node, inputs) => {
    if (split.has(node.output.id)) made.set(node.output.id, inputs);
    const [x, weight, bias] = made.get(node.inputs[0]?.id ?? -1) ?? [];
    if (node.op !== 'slice' || !x || !weight) return applyNode(b, node, inputs);
    const { start, end } = node.attributes;
    const rows = (value: Sym): Sym => slice(value, 0, start, end);
    return linear(x, rows(weight), bias && rows(bias));
  });
  return builder.graph(results);
}
