/** Lowering: one way to bring nodes of a graph into an ONNX model. */

import type { AnyNode } from '../graph/graph.ts';
import type { Emitter } from './emitter.ts';

/**
 * Emits a node, or returns false for a node that it has no better way for. `output` returns the name the result must have; a lowering that
 * leaves a result in another arrangement does not call it.
 */
export type Lower = (node: AnyNode, output: () => string) => boolean;

/** Inspects the emitter's complete graph and options first; undefined if nothing applies. */
export type Lowering = (e: Emitter) => Lower | undefined;

/** The first of `lowerings` that emits a node. The last one must emit every node. */
export function firstOf(e: Emitter, lowerings: readonly Lowering[]): Lower {
  const all = lowerings.flatMap((lowering) => lowering(e) ?? []);
  return (node, output) => all.some((lower) => lower(node, output));
}
