/** Linear layers of which only slices are used (GEGLU): they are replaced slice by slice. */

import type { AnyNode, Node } from './graph.ts';

/** The slices of a layer's result, where only slices of its last axis are used. */
export function slicesOf(node: AnyNode, readers: readonly AnyNode[], isOutput: boolean): readonly Node<'slice'>[] {
  if (node.op !== 'linear' || isOutput || readers.length === 0) return [];
  const slices = readers.filter(
    (reader): reader is AnyNode & Node<'slice'> =>
      reader.op === 'slice' &&
      reader.attributes.axis === node.output.shape.length - 1 &&
      reader.attributes.step === 1 &&
      typeof reader.attributes.start === 'number' &&
      typeof reader.attributes.end === 'number',
  );
  return slices.length === readers.length ? slices : [];
}
