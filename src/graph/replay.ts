/** Replaying: a graph's nodes applied again in a new builder, from which it can be extended or rewritten. */

import type { AnyNode, Graph, NamedValue, Value } from './graph.ts';
import type { Attributes, OpName } from './operations.ts';
import { GraphBuilder, type Sym } from './trace.ts';

export interface Replay {
  readonly builder: GraphBuilder;
  /** The new value of a value of the old graph. */
  readonly sym: (value: Value) => Sym;
  /** The graph's outputs among the new values. */
  readonly outputs: readonly NamedValue[];
}

/** Makes the new value of a node; by default by applying its operation. */
export type Rewrite = (builder: GraphBuilder, node: AnyNode, inputs: readonly Sym[]) => Sym;

export function applyNode(builder: GraphBuilder, node: AnyNode, inputs: readonly Sym[]): Sym {
  return builder.apply<OpName>(node.op, inputs, node.attributes as Attributes[OpName]);
}

export function replay(graph: Graph, rewrite: Rewrite = applyNode): Replay {
  const builder = new GraphBuilder();
  const known = new Map<number, Sym>();
  const sym = (value: Value): Sym => {
    const found = known.get(value.id);
    if (!found) throw new Error(`value ${value.id} of the graph is used before it is defined`);
    return found;
  };
  for (const { name, value } of graph.inputs) known.set(value.id, builder.input(name, value.dtype, value.shape));
  for (const { name, value } of graph.parameters)
    known.set(value.id, builder.parameter(name, value.shape as readonly number[], value.dtype));
  for (const { value, tensor } of graph.constants) known.set(value.id, builder.constant(tensor));
  for (const node of graph.nodes) {
    builder.scope = node.scope;
    known.set(node.output.id, rewrite(builder, node, node.inputs.map(sym)));
  }
  builder.scope = '';
  return { builder, sym, outputs: graph.outputs.map(({ name, value }) => ({ name, value: sym(value) })) };
}
