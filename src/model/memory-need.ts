/** What a run of a network takes in memory, estimated from its graph before anything is computed. */

import { bindShape } from '../graph/dim.ts';
import type { Graph } from '../graph/graph.ts';
import { peakMemory } from '../graph/peak-memory.ts';

/** Shapes of inputs by name. */
export type InputShapes = Readonly<Record<string, readonly number[]>>;

/** Symbols that no given shape sets are those of texts: the tokens of CLIP. */
const withTexts = (bindings: ReadonlyMap<string, number>): Pick<ReadonlyMap<string, number>, 'get'> => ({
  get: (symbol) => bindings.get(symbol) ?? 77,
});

/** The last result of each graph: runs are mostly of the same size. */
const lastNeeds = new WeakMap<Graph, { readonly sizes: string; readonly bytes: number }>();

/** Bytes that the values of a run take at the same time. Throws `shape-mismatch`. */
export function bytesOfRun(graph: Graph, shapes: InputShapes, bytesPerElement: number): number {
  const sizes = JSON.stringify([shapes, bytesPerElement]);
  const known = lastNeeds.get(graph);
  if (known?.sizes === sizes) return known.bytes;
  const bindings = new Map<string, number>();
  for (const { name, value } of graph.inputs) {
    const shape = shapes[name];
    if (shape) bindShape(name, value.shape, shape, bindings);
  }
  const bytes = peakMemory(graph, withTexts(bindings), () => bytesPerElement);
  lastNeeds.set(graph, { sizes, bytes });
  return bytes;
}
