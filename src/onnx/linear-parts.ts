/**
 * A linear layer of which only slices are used (GEGLU's value and gate; q, k and v in one matrix) is calculated slice by slice, each with
 * its rows of the stored matrix: nothing is copied out of a large result, and that result is never there.
 */

import type { AnyNode, Graph, Node, Value } from '../graph/graph.ts';
import type { Emitter } from './emitter.ts';
import type { Lowering } from './lowering.ts';
import { linearForm } from './products.ts';

/** A slice of a linear layer's result. */
interface LinearPart {
  readonly linear: Node<'linear'>;
  /** First row of the matrix, and the row after the last. */
  readonly start: number;
  readonly end: number;
}

interface LinearParts {
  /** Linear layers that need not be emitted. */
  readonly replaced: ReadonlySet<AnyNode>;
  /** Slices that are linear layers of their own. */
  readonly slices: ReadonlyMap<AnyNode, LinearPart>;
}

export const linearParts: Lowering = (e) => {
  const { replaced, slices } = findParts(e.graph, (value) => e.values.isParameter(value));
  return (node, output) => {
    if (replaced.has(node)) return true;
    const part = slices.get(node);
    if (part) emitPart(e, part, node.output, output());
    return part !== undefined;
  };
};

/** The slices in `graph` that can be calculated alone: all of a linear layer's results go into slices of its last axis, and its parameters are stored. */
function findParts(graph: Graph, isStored: (value: Value) => boolean): LinearParts {
  const readers = new Map<number, AnyNode[]>();
  for (const node of graph.nodes) for (const { id } of node.inputs) readers.set(id, [...(readers.get(id) ?? []), node]);
  const outputs = new Set(graph.outputs.map(({ value }) => value.id));
  const replaced = new Set<AnyNode>();
  const slices = new Map<AnyNode, LinearPart>();
  for (const node of graph.nodes) {
    if (node.op !== 'linear' || outputs.has(node.output.id) || !node.inputs.slice(1).every(isStored)) continue;
    const parts = (readers.get(node.output.id) ?? []).map((reader) => [reader, partOf(node, reader)] as const);
    if (parts.length === 0 || parts.some(([, part]) => !part)) continue;
    replaced.add(node);
    for (const [reader, part] of parts) if (part) slices.set(reader, part);
  }
  return { replaced, slices };
}

function partOf(linear: Node<'linear'>, reader: AnyNode): LinearPart | undefined {
  if (reader.op !== 'slice') return undefined;
  const { axis, start, end, step } = reader.attributes;
  if (
    axis !== linear.output.shape.length - 1 ||
    step !== 1 ||
    typeof end !== 'number' ||
    typeof start !== 'number' ||
    start < 0 ||
    end <= start
  )
    return undefined;
  return { linear, start, end };
}

function emitPart(e: Emitter, { linear, start, end }: LinearPart, result: Value, output: string): void {
  const [x, ...parameters] = linear.inputs as readonly [Value, ...Value[]];
  // The matrix is [out, in] and the bias [out].
  const names = parameters.map((value) => {
    const row = value.shape.slice(1) as readonly number[];
    return e.values.parameter(value, [end - start, ...row], start * row.reduce((product, size) => product * size, 1));
  });
  linearForm(e, x, names, result, { output });
}
