/** Whether a run fits into memory, estimated from the graphs before anything is computed. */

import { checkAvailable } from '../engine/available-memory.ts';
import type { Engine } from '../engine/engine.ts';
import { precisionOf } from '../engine/precision.ts';
import { bindShape } from '../graph/dim.ts';
import type { Graph } from '../graph/graph.ts';
import { peakMemory } from '../graph/peak-memory.ts';
import type { GraphChoice, NetworkSet } from './network-set.ts';

/** A network of a run, with the shapes of the inputs that decide its sizes. */
export interface PlannedUse extends GraphChoice {
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

/** Symbols that no given shape sets are those of texts: the tokens of CLIP. */
const withTexts = (bindings: ReadonlyMap<string, number>): Pick<ReadonlyMap<string, number>, 'get'> => ({
  get: (symbol) => bindings.get(symbol) ?? 77,
});

/** Bytes that the values of a network's run take at the same time. */
export function bytesOfRun(graph: Graph, { shapes }: PlannedUse, bytesPerElement: number): number {
  const bindings = new Map<string, number>();
  for (const { name, value } of graph.inputs) {
    const shape = shapes[name];
    if (shape) bindShape(name, value.shape, shape, bindings);
  }
  return peakMemory(graph, withTexts(bindings), () => bytesPerElement);
}

/** The last result of each graph: jobs are mostly of the same size. */
const lastNeeds = new WeakMap<Graph, { readonly sizes: string; readonly bytes: number }>();

function needOf(graph: Graph, use: PlannedUse, bytesPerElement: number): number {
  const sizes = JSON.stringify([use.shapes, bytesPerElement]);
  const known = lastNeeds.get(graph);
  if (known?.sizes === sizes) return known.bytes;
  const bytes = bytesOfRun(graph, use, bytesPerElement);
  lastNeeds.set(graph, { sizes, bytes });
  return bytes;
}

/** Throws `too-large` with the figures where one of the networks needs more than the machine has left. */
export function checkMemory(networks: NetworkSet, engine: Engine, uses: readonly PlannedUse[]): void {
  const element = precisionOf(networks.precision).compute === 'float16' ? 2 : 4;
  const needs = uses.map((use) => ({ use, needed: needOf(networks.graph(use), use, element) }));
  const [largest] = needs.sort((a, b) => b.needed - a.needed);
  if (largest) checkAvailable(engine, largest.use.network, largest.needed);
}
