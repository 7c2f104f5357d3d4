/**
 * Gradients of the normalisations. Mean and variance are calculated again from the input, in two passes (the variance from differences
 * to the mean), which is as accurate as the forward pass where the variance is near epsilon.
 */

import { type Dim, divideDim, productOfDims } from '../dim.ts';
import { add, dimension, div, matmul, mean, mul, reciprocal, reshape, sqrt, sub, sum } from '../functions.ts';
import type { AnyNode } from '../graph.ts';
import type { Attributes } from '../operations.ts';
import type { Sym } from '../trace.ts';
import { type GradientRule, type GradientRules, inputOf } from './rule.ts';

/** x - mean and 1 / standard deviation along an axis. */
function standardise(x: Sym, axis: number, epsilon: number): { centred: Sym; scale: Sym } {
  const centred = sub(x, mean(x, [axis], { keepDims: true }));
  const variance = mean(mul(centred, centred), [axis], { keepDims: true });
  return { centred, scale: reciprocal(sqrt(add(variance, epsilon))) };
}

/** Sums of products over the image axes, [b, c]: products of rows with rows, which read both once and write nothing large. */
function dots(a: Sym, b: Sym): Sym {
  const [n = 1, c = 1] = a.shape;
  const row = (x: Sym): Sym => reshape(x, [n, c, 1, -1]);
  return reshape(matmul(row(a), row(b), { transposeB: true }), [n, c]);
}

/** x [b, c, ...] as groups [b, groups, ...] minus their means, and 1 / standard deviation [b, groups, 1]. */
function standardiseGroups(x: Sym, groups: number, epsilon: number): { centred: Sym; scale: Sym } {
  const [b = 1, c = 1, ...image] = x.shape;
  const grouped = reshape(x, [b, groups, -1]);
  const centred = sub(grouped, mean(grouped, [2], { keepDims: true }));
  const count = dimension(x, productOfDims([divideDim(c, groups), ...image]));
  const variance = reshape(div(dots(centred, centred), count), [b, groups, 1]);
  return { centred, scale: reciprocal(sqrt(add(variance, epsilon))) };
}

/** 1 / standard deviation times the weight, for each channel: [b, c, 1, ...]. */
function channelScale(scale: Sym, weight: Sym, x: Sym, groups: number): Sym {
  const [b = 1, c = 1, ...image] = x.shape;
  return reshape(mul(reshape(weight, [1, groups, divideDim(c, groups)]), scale), [b, c, ...image.map(() => 1)]);
}

/** Group normalisation in the steps that its gradient takes as well, so that they are calculated once. */
export function groupNormInSteps(x: Sym, weight: Sym, bias: Sym, { groups, epsilon }: Attributes['groupNorm']): Sym {
  const { centred, scale } = standardiseGroups(x, groups, epsilon);
  const [, c = 1, ...image] = x.shape;
  return add(
    mul(reshape(centred, x.shape), channelScale(scale, weight, x, groups)),
    reshape(bias, [c, ...image.map(() => 1)]),
  );
}

/** The inputs of group normalisations whose gradients a graph already computes, so that their steps can be reused. */
export function standardisedInputs(nodes: readonly AnyNode[]): ReadonlySet<number> {
  const made = new Map(nodes.map((node) => [node.output.id, node]));
  const found = new Set<number>();
  for (const node of nodes) {
    const [grouped, average] = node.op === 'sub' ? node.inputs.map(({ id }) => made.get(id)) : [];
    if (grouped?.op === 'reshape' && average?.op === 'mean' && average.inputs[0]?.id === grouped.output.id)
      found.add(grouped.inputs[0]?.id ?? -1);
  }
  return found;
}

/**
 * With c = x - mean and r = 1 / std of a group of N elements: dx = g·w·r - c·r³·Σ(w·g·c)/N - r·Σ(w·g)/N. The sums are taken per channel
 * first, so that few passes over the image remain.
 */
const groupNormGradient: GradientRule<'groupNorm'> = (g, node) => {
  const { groups, epsilon } = node.attributes;
  const [x, weight] = [inputOf(node, 0), inputOf(node, 1)];
  const [b = 1, c = 1, ...image] = x.shape;
  const each = divideDim(c, groups);
  const { centred, scale } = standardiseGroups(x, groups, epsilon);
  const imageAxes = image.map((_, i) => i + 2);
  const products = reshape(dots(g, reshape(centred, x.shape)), [b, groups, each]);
  const sums = (): Sym => reshape(sum(g, imageAxes), [b, groups, each]);
  return [
    () => {
      const w = reshape(weight, [1, groups, each]);
      const count: Dim = productOfDims([each, ...image]);
      const perGroup = (value: Sym): Sym => div(sum(mul(value, w), [2], { keepDims: true }), dimension(x, count)); // [b, groups, 1]
      const slope = mul(perGroup(products), mul(scale, mul(scale, scale)));
      const offset = mul(perGroup(sums()), scale);
      return sub(mul(g, channelScale(scale, weight, x, groups)), reshape(add(mul(centred, slope), offset), x.shape));
    },
    () => reshape(sum(mul(products, scale), [0]), [c]),
    () => reshape(sum(sums(), [0]), [c]),
  ];
};

const layerNormGradient: GradientRule<'layerNorm'> = (g, node) => {
  const [x, weight] = [inputOf(node, 0), inputOf(node, 1)];
  const last = x.shape.length - 1;
  const { centred, scale } = standardise(x, last, node.attributes.epsilon);
  const normal = mul(centred, scale);
  const leading = x.shape.slice(0, -1).map((_, i) => i);
  return [
    () => {
      const weighted = mul(g, weight);
      const along = mean(mul(weighted, normal), [last], { keepDims: true });
      return mul(sub(sub(weighted, mean(weighted, [last], { keepDims: true })), mul(normal, along)), scale);
    },
    () => sum(mul(g, normal), leading),
    () => sum(g, leading),
  ];
};

export const normalisationGradients: GradientRules<'groupNorm' | 'layerNorm' | 'softmax'> = {
  groupNorm: groupNormGradient,
  layerNorm: layerNormGradient,
  softmax: (g, node) => [
    () => mul(node.output, sub(g, sum(mul(g, node.output), [node.attributes.axis], { keepDims: true }))),
  ],
};
