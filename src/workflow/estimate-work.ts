/** The size of a workflow, estimated from the numbers in its nodes; links are not followed. */

import type { ApiGraph, ApiNode } from './graph.ts';

/** Pixels of a picture whose size no node tells. */
const unknownPixels = 512 * 512;

/** What one node asks for; 0 or 1 where it does not say. */
export interface NodeDemand {
  readonly id: string;
  readonly steps: number;
  readonly pixels: number;
  readonly pictures: number;
}

function numberOf({ inputs }: ApiNode, name: string): number | undefined {
  const value = inputs[name];
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : undefined;
}

export function demandsOf(graph: ApiGraph): readonly NodeDemand[] {
  return [...graph].map(([id, node]) => ({
    id,
    steps: numberOf(node, 'steps') ?? 0,
    pixels: (numberOf(node, 'width') ?? 0) * (numberOf(node, 'height') ?? 0),
    pictures: numberOf(node, 'batch_size') ?? 1,
  }));
}

/** Steps of all samplers x pixels of the largest picture x pictures. */
export function workOfDemands(demands: readonly NodeDemand[]): number {
  const steps = demands.reduce((sum, demand) => sum + demand.steps, 0);
  const pixels = demands.reduce((most, demand) => Math.max(most, demand.pixels), 0);
  const pictures = demands.reduce((most, demand) => Math.max(most, demand.pictures), 1);
  return Math.max(1, steps) * (pixels || unknownPixels) * pictures;
}
