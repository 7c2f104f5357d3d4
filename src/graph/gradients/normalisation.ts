/**
 * Gradients of the normalisations. Mean and variance are calculated again from the input, in two passes (the variance from differences
 * to the mean), which is as accurate as the forward pass where the variance is near epsilon.
 */

import { type Dim, divideDim, productOfDims } from '../dim.ts';
import { add, dimension, div, mean, mul, reciprocal, reshape, sqrt, sub, sum } from '../functions.ts';
import type { Sym } from '../trace.ts';
import { type GradientRule, type GradientRules, inputOf } from './rule.ts';

/** x - mean and 1 / standard deviation along an axis. */
function standardise(x: Sym, axis: number, epsilon: number): { centred: Sym; scale: Sym } {
  const centred = sub(x, mean(x, [axis], { keepDims: true }));
  const variance = mean(mul(centred, centred), [axis], { keepDims: true });
  return { centred, scale: reciprocal(sqrt(add(variance, epsilon))) };
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
  const { centred, scale } = standardise(reshape(x, [b, groups, -1]), 2, epsilon); // [b, groups, ...], [b, groups, 1]
  const imageAxes = image.map((_, i) => i + 2);
  const product = mul(g, reshape(centred, x.shape));
  const perChannel = (value: Sym): Sym => reshape(sum(value, imageAxes), [b, groups, each]);
  return [
    () => {
      const w = reshape(weight, [1, groups, each]);
      const count: Dim = productOfDims([each, ...image]);
      const perGroup = (value: Sym): Sym => div(sum(mul(perChannel(value), w), [2], { keepDims: true }), dimension(x, count)); // [b, groups, 1]
      const byChannel = reshape(mul(w, scale), [b, c, ...image.map(() => 1)]);
      const slope = mul(perGroup(product), mul(scale, mul(scale, scale)));
      const offset = mul(perGroup(g), scale);
      return sub(mul(g, byChannel), reshape(add(mul(centred, slope), offset), x.shape));
    },
    () => reshape(sum(mul(perChannel(product), scale), [0]), [c]),
    () => sum(g, [0, ...imageAxes]),
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
  softmax: (g, node) => [() => mul(node.output, sub(g, sum(mul(g, node.output), [node.attributes.axis], { keepDims: true })))],
};
