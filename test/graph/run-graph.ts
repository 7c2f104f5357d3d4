/** Runs a small graph once, for tests. */

import type { Engine } from '../../src/engine/engine.ts';
import { type Dim, dim } from '../../src/graph/dim.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { type Params, type Sym, trace } from '../../src/graph/trace.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';

export type Inputs = Readonly<Record<string, Tensor>>;
export type Network = (inputs: Readonly<Record<string, Sym>>, p: Params) => Readonly<Record<string, Sym>>;

/** Traces a network on inputs of the types of given tensors. */
export function traceLike(inputs: Inputs, network: Network): Graph {
  return trace(
    Object.fromEntries(Object.entries(inputs).map(([name, { dtype, shape }]) => [name, { dtype, shape }])),
    network,
  );
}

/** The same with the named dimensions as symbols: `{ x: ['batch', undefined] }` leaves the second axis a number. */
export function traceSymbolic(
  inputs: Inputs,
  symbols: Readonly<Record<string, readonly (string | undefined)[]>>,
  network: Network,
): Graph {
  const shapeOf = (name: string, shape: readonly number[]): Dim[] =>
    shape.map((size, axis) => {
      const symbol = symbols[name]?.[axis];
      return symbol === undefined ? size : dim(symbol);
    });
  return trace(
    Object.fromEntries(
      Object.entries(inputs).map(([name, { dtype, shape }]) => [name, { dtype, shape: shapeOf(name, shape) }]),
    ),
    network,
  );
}

export async function runGraph(
  engine: Engine,
  graph: Graph,
  inputs: Inputs,
  weights: ReadonlyMap<string, Tensor> = new Map(),
  precision: 'float32' | 'float16' = 'float32',
): Promise<Record<string, Tensor>> {
  const program = await engine.compile(graph, memoryWeights(weights), { precision });
  try {
    return await program.run(inputs);
  } finally {
    await program.dispose();
  }
}
