/**
 * Gradients of attention with the probabilities made again from queries and keys, as FlashAttention does (Dao et al. 2022), so that no large
 * n × m matrix is kept from the forward pass; small ones are, and made once.
 */

import { divideDim, multiplyDims, productOfDims } from '../dim.ts';
import { add, less, matmul, mul, range, reshape, softmax, sub, sum, transpose, where } from '../functions.ts';
import type { AnyNode, Value } from '../graph.ts';
import type { Attributes } from '../operations.ts';
import type { Sym } from '../trace.ts';
import { type GradientRule, inputOf, sumTo } from './rule.ts';

/** [b, n, heads · d] → [b, heads, n, d]. */
function split(x: Sym, heads: number): Sym {
  const [b = 1, n = 1, c = 1] = x.shape;
  return transpose(reshape(x, [b, n, heads, divideDim(c, heads)]), [0, 2, 1, 3]);
}

/** [b, heads, n, d] → [b, n, heads · d]. */
function join(x: Sym, heads: number): Sym {
  const [b = 1, , n = 1, d = 1] = x.shape;
  return reshape(transpose(x, [0, 2, 1, 3]), [b, n, multiplyDims(d, heads)]);
}

/** [b, heads, n, m] */
function probabilities(q: Sym, k: Sym, mask: Sym | undefined, { heads, scale, causal }: Attributes['attention']): Sym {
  let scores = matmul(mul(split(q, heads), scale), split(k, heads), { transposeB: true });
  if (mask) scores = add(scores, mask);
  if (causal) {
    const [n = 1, m = 1] = [q.shape[1], k.shape[1]];
    const later = less(reshape(range(q, n), [n, 1]), reshape(range(q, m), [1, m]));
    scores = where(later, Number.NEGATIVE_INFINITY, scores);
  }
  return softmax(scores, -1);
}

/**
 * dS = P ∘ (dP - rowsum(P ∘ dP)). The row sum could be had from the output, rowsum(dO ∘ O), but then it does not cancel where one
 * probability is nearly 1.
 */
export const attentionGradient: GradientRule<'attention'> = (g, node) => {
  const { heads, scale } = node.attributes;
  const [q, k, v, mask] = [inputOf(node, 0), inputOf(node, 1), inputOf(node, 2), node.inputs[3]];
  const p = (): Sym => probabilities(q, k, mask, node.attributes);
  const scoreGradient = (): Sym => {
    const toProbabilities = matmul(split(g, heads), split(v, heads), { transposeB: true });
    const own = p();
    return mul(own, sub(toProbabilities, sum(mul(own, toProbabilities), [-1], { keepDims: true })));
  };
  return [
    () => join(mul(matmul(scoreGradient(), split(k, heads)), scale), heads),
    () => join(matmul(scoreGradient(), mul(split(q, heads), scale), { transposeA: true }), heads),
    () => join(matmul(p(), split(g, heads), { transposeA: true }), heads),
    mask ? () => sumTo(scoreGradient(), mask.shape) : undefined,
  ];
};

/** Elements of probabilities that are kept from the forward pass for the backward pass: 16 MB a layer. */
const fewProbabilities = 2 ** 22;

/** Attention in the steps that its gradient takes as well, so that they are calculated once; undefined where they are too large to keep. */
export function attentionInSteps(
  [q, k, v, mask]: readonly Sym[],
  attributes: Attributes['attention'],
): Sym | undefined {
  if (!q || !k || !v) return undefined;
  const size = productOfDims([q.shape[0] ?? 1, attributes.heads, q.shape[1] ?? 1, k.shape[1] ?? 1]);
  if (typeof size !== 'number' || size > fewProbabilities) return undefined;
  return join(matmul(probabilities(q, k, mask, attributes), split(v, attributes.heads)), attributes.heads);
}

/** The queries and keys whose probabilities a graph already computes, so that their steps can be reused. */
export function probabilitiesMade(nodes: readonly AnyNode[]): (q: Value, k: Value) => boolean {
  const makers = new Map(nodes.map((node) => [node.output.id, node]));
  const key = (q: Value, k: Value): string => `${q.id} ${k.id}`;
  /** The value before splitting into heads. */
  const whole = (value: Value | undefined): Value | undefined => {
    const node = makers.get(value?.id ?? -1);
    return node && ['mul', 'transpose'].includes(node.op)
      ? whole(node.inputs[0])
      : node?.op === 'reshape'
        ? node.inputs[0]
        : undefined;
  };
  const products = nodes.flatMap((node) =>
    node.op === 'matmul' && node.attributes.transposeB && node.output.shape.length === 4
      ? [node.inputs.map(whole)]
      : [],
  );
  const made = new Set(products.flatMap(([q, k]) => (q && k ? [key(q, k)] : [])));
  return (q, k) => made.has(key(q, k));
}
