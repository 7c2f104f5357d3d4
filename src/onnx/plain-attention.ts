/** Attention as ONNX's own operations: softmax(scale · q kᵀ + mask) v, with all of the scores in memory at once. */

import type { Dim } from '../graph/dim.ts';
import { int64 } from '../tensor/tensor.ts';
import type { AnyNode } from '../graph/graph.ts';
import type { Emitter } from './emitter.ts';
import type { Form } from './forms.ts';

type AttentionNode = Extract<AnyNode, { readonly op: 'attention' }>;

/** Channels of one head; 0 where that is not known yet. */
export function headWidth({ inputs, attributes }: AttentionNode): number {
  const width = inputs[0]?.shape[2];
  return typeof width === 'number' ? width / attributes.heads : 0;
}

/** What is added to the score of a token that is not seen. Not infinite: shaders may take infinities for anything. */
const unseen = -1e30;

/** [queries, keys]: 0 for a query's own position and those before it. */
function causalMask(e: Emitter, queries: Dim, keys: Dim): string {
  const whole = (value: number): string => e.constant(int64([], [value]));
  const positions = (count: Dim): string =>
    e.node('Range', [whole(0), e.node('Squeeze', [e.shape([count])]), whole(1)]);
  const later = e.node('Less', [
    e.node('Unsqueeze', [positions(queries), e.integers([1])]),
    e.node('Unsqueeze', [positions(keys), e.integers([0])]),
  ]);
  return e.node('Where', [later, e.scalar(unseen), e.scalar(0)]);
}

/** q [b, n, h·d], k [b, m, h·d], v [b, m, h·c], mask [b or 1, h or 1, n, m] → [b, n, h·c]. */
export const plainAttention: Form<'attention'> = (e, inputs, { heads, scale, causal }, _, options) => {
  const [q, k, v, mask] = inputs.map((input) => e.name(input)) as [string, string, string, string | undefined];
  // One head without a mask needs no axis of its own.
  const apart = heads > 1 || mask !== undefined;
  const split = (x: string, perm: readonly number[]): string =>
    e.node('Transpose', [e.node('Reshape', [x, e.integers([0, 0, heads, -1])])], { perm });
  const queries = e.node('Mul', [apart ? split(q, [0, 2, 1, 3]) : q, e.scalar(scale)]); // [b, h, n, d]
  const keys = apart ? split(k, [0, 2, 3, 1]) : e.node('Transpose', [k], { perm: [0, 2, 1] }); // [b, h, d, m]
  let scores = e.node('MatMul', [queries, keys]); // [b, h, n, m]
  if (mask !== undefined) scores = e.node('Add', [scores, mask]);
  if (causal) scores = e.node('Add', [scores, causalMask(e, inputs[0]?.shape[1] ?? 1, inputs[1]?.shape[1] ?? 1)]);
  const weights = e.node('Softmax', [scores], { axis: -1 });
  if (!apart) return e.node('MatMul', [weights, v], {}, options);
  const joined = e.node('Transpose', [e.node('MatMul', [weights, split(v, [0, 2, 1, 3])])], { perm: [0, 2, 1, 3] }); // [b, n, h, c]
  return e.node('Reshape', [joined, e.integers([0, 0, -1])], {}, options);
};
