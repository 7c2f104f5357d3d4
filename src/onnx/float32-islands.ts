/** Operations that lose too much in float16 (sums over many elements, exponentials) are computed in float32 between casts. */

import type { OpName } from '../graph/operations.ts';
import { firstOf, type Lowering } from './lowering.ts';

const operations: ReadonlySet<OpName> = new Set([
  'groupNorm',
  'layerNorm',
  'softmax',
  'sum',
  'mean',
  'exp',
  'log',
  'sin',
  'cos',
  'pow',
  'attention',
]);

/** `inner` emits the operation between the casts. */
export const float32Islands =
  (inner: readonly Lowering[]): Lowering =>
  (e) => {
    if (e.options.compute !== 'float16') return undefined;
    const lower = firstOf(e, inner);
    return (node, output) => {
      if (!operations.has(node.op)) return false;
      e.values.island(node.inputs, output(), (name) => lower(node, () => name));
      return true;
    };
  };
