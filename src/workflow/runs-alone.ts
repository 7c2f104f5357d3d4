/** Nodes that compute on plain data alone: they can run in another thread, and their values be sent there and back. */

import type { InputSpecs } from './input-spec.ts';
import { type NodeType, outputsOf } from './definition.ts';

/** Types whose values hold tensors, numbers and texts, and no networks or functions. */
const plainTypes: ReadonlySet<string> = new Set([
  'IMAGE',
  'MASK',
  'LATENT',
  'SIGMAS',
  'INT',
  'FLOAT',
  'STRING',
  'BOOLEAN',
  'COMBO',
]);

const isPlain = (specs: InputSpecs = {}): boolean =>
  Object.values(specs).every(([type]) => (typeof type === 'string' ? plainTypes.has(type) : Array.isArray(type)));

/** True if the node takes and gives plain values and does not look at its context. */
export function runsAlone(type: NodeType): boolean {
  return (
    type.run.length < 2 &&
    !type.outputNode &&
    !type.hidden &&
    isPlain(type.required) &&
    isPlain(type.optional) &&
    outputsOf(type).every(({ type: made }) => typeof made === 'string' && plainTypes.has(made))
  );
}
