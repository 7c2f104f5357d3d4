/** Attention of one head as ONNX's own operations: softmax(scale · q kᵀ) v, with all of the scores in memory at once. */

import type { AnyNode } from '../graph/graph.ts';
import type { Form } from './forms.ts';

type AttentionNode = Extract<AnyNode, { readonly op: 'attention' }>;

/** Channels of one head; 0 where that is not known yet. */
export function headWidth({ inputs, attributes }: AttentionNode): number {
  const width = inputs[0]?.shape[2];
  return typeof width === 'number' ? width / attributes.heads : 0;
}

/** One head that sees everything: what `plainAttention` can do. */
export function isPlainHead({ inputs, attributes }: AttentionNode): boolean {
  return attributes.heads === 1 && !attributes.causal && inputs.length === 3;
}

/** q [b, n, c], k [b, m, c], v [b, m, c] → [b, n, c]. */
export const plainAttention: Form<'attention'> = (e, inputs, { scale }, _, options) => {
  const [q, k, v] = inputs.map((input) => e.name(input)) as [string, string, string];
  const keys = e.node('Transpose', [k], { perm: [0, 2, 1] });
  const scores = e.node('MatMul', [e.node('Mul', [q, e.scalar(scale)]), keys]);
  return e.node('MatMul', [e.node('Softmax', [scores], { axis: -1 }), v], {}, options);
};
