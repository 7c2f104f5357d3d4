/** Attention as ONNX's own operations: softmax(scale · q kᵀ + mask) v, with all of the scores in memory at once. */

import type { Dim } from '../graph/dim.ts';
import { int64 } from '../tensor/tensor.ts';
import type { AnyNode } from '../graph/graph.ts';
import type { Emitter } from './emitter.ts';
import type { Form } from './form.ts';
import type { Lowering } from './lowering.ts';

type AttentionNode = Extract<AnyNode, { readonly op: 'attention' }>;

/** Channels of one head; 0 where that is not known yet. */
function headWidth({ inputs, attributes }: AttentionNode): number {
  const width = inputs[0]?.shape[2];
  return typeof width === 'number' ? width / attributes.heads : 0;
}

/** Added to the score of a masked token. Finite, because shaders may mishandle infinities. */
const unseen = -1e30;

/** [queries, keys]: 0 for a query's own position and those before it. */
function causalMask(e: Emitter, queries: Dim, keys: Dim): string {
  const whole = (value: number): string => e.onnx.constant(int64([], [value]));
  const positions = (count: Dim): string =>
    e.onnx.node('Range', [whole(0), e.onnx.node('Squeeze', [e.shapes.vector([count])]), whole(1)]);
  const later = e.onnx.node('Less', [
    e.onnx.node('Unsqueeze', [positions(queries), e.onnx.integers([1])]),
    e.onnx.node('Unsqueeze', [positions(keys), e.onnx.integers([0])]),
  ]);
  return e.onnx.node('Where', [later, e.onnx.scalar(unseen), e.onnx.scalar(0)]);
}

/** q [b, n, h·d], k [b, m, h·d], v [b, m, h·c], mask [b or 1, h or 1, n, m] → [b, n, h·c]. */
const productsAndSoftmax: Form<'attention'> = (e, inputs, { heads, scale, causal }, _, options) => {
  const [q, k, v, mask] = inputs.map((input) => e.values.name(input)) as [string, string, string, string | undefined];
  // One head without a mask needs no axis of its own.
  const apart = heads > 1 || mask !== undefined;
  const split = (x: string, perm: readonly number[]): string =>
    e.onnx.node('Transpose', [e.onnx.node('Reshape', [x, e.onnx.integers([0, 0, heads, -1])])], { perm });
  const queries = e.onnx.node('Mul', [apart ? split(q, [0, 2, 1, 3]) : q, e.onnx.scalar(scale)]); // [b, h, n, d]
  const keys = apart ? split(k, [0, 2, 3, 1]) : e.onnx.node('Transpose', [k], { perm: [0, 2, 1] }); // [b, h, d, m]
  let scores = e.onnx.node('MatMul', [queries, keys]); // [b, h, n, m]
  if (mask !== undefined) scores = e.onnx.node('Add', [scores, mask]);
  if (causal) scores = e.onnx.node('Add', [scores, causalMask(e, inputs[0]?.shape[1] ?? 1, inputs[1]?.shape[1] ?? 1)]);
  const weights = e.onnx.node('Softmax', [scores], { axis: -1 });
  if (!apart) return e.onnx.node('MatMul', [weights, v], {}, options);
  const joined = e.onnx.node('Transpose', [e.onnx.node('MatMul', [weights, split(v, [0, 2, 1, 3])])], {
    perm: [0, 2, 1, 3],
  }); // [b, n, h, c]
  return e.onnx.node('Reshape', [joined, e.onnx.integers([0, 0, -1])], {}, options);
};

/** Attention that the device's own kernel computes wrongly: all of it, or that of one head too wide for the kernel. */
export const plainAttention: Lowering = (e) => {
  const { fusedAttention = true, widestFusedHead = Number.POSITIVE_INFINITY } = e.options;
  return (node, output) => {
    if (node.op !== 'attention') return false;
    const tooWide = node.attributes.heads === 1 && headWidth(node) > widestFusedHead;
    if (fusedAttention && !tooWide) return false;
    productsAndSoftmax(e, node.inputs, node.attributes, node.output, { output: output() });
    return true;
  };
};
