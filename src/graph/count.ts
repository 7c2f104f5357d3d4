/** Counts a graph's parameters and floating-point operations, as formulas in its symbolic sizes and as numbers. */

import { addDims, type Bindings, type Dim, evaluateDim, productOfDims } from './dim.ts';
import type { Graph } from './graph.ts';
import { type Operation, type OpName, operations } from './operations.ts';

export interface GraphCount {
  /** Elements of all parameters. */
  readonly parameters: number;
  /** Floating-point operations of one run; a multiplication and an addition count as two. */
  readonly flops: Dim;
  /** Counts by operation, without operations that only move data. */
  readonly flopsByOperation: ReadonlyMap<OpName, Dim>;
}

export function count(graph: Graph): GraphCount {
  let flops: Dim = 0;
  const byOperation = new Map<OpName, Dim>();
  for (const node of graph.nodes) {
    const operation = operations[node.op] as Operation<OpName>;
    const cost = operation.flops(node.inputs, node.attributes as never, node.output);
    if (cost === 0) continue;
    flops = addDims(flops, cost);
    byOperation.set(node.op, addDims(byOperation.get(node.op) ?? 0, cost));
  }
  const parameters = graph.parameters.reduce((sum, { value }) => sum + Number(productOfDims(value.shape)), 0);
  return { parameters, flops, flopsByOperation: byOperation };
}

/** Operations of one run with the symbols at given values, e.g. `{ batch: 2, height: 8, width: 8, tokens: 77 }`. */
export function countFlops(graph: Graph, sizes: Readonly<Record<string, number>>): number {
  const bindings: Bindings = new Map(Object.entries(sizes));
  return evaluateDim(count(graph).flops, bindings);
}
