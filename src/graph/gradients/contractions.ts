/** Gradients of matrix products and convolutions. */

import { divideDim, multiplyDims } from '../dim.ts';
import { concat, conv2d, convTranspose2d, conv2dWeightGradient, matmul, reshape, slice, sum } from '../functions.ts';
import type { Sym } from '../trace.ts';
import { attentionGradient } from './attention.ts';
import { type GradientRule, type GradientRules, inputOf, sumTo } from './rule.ts';

/** [..., n] → [rows, n]. */
function rows(x: Sym): Sym {
  return x.shape.length === 2 ? x : reshape(x, [-1, x.shape.at(-1) ?? 1]);
}

const matmulGradient: GradientRule<'matmul'> = (g, node) => {
  const { transposeA, transposeB } = node.attributes;
  const [a, b] = [inputOf(node, 0), inputOf(node, 1)];
  return [
    () =>
      sumTo(
        transposeA
          ? matmul(b, g, { transposeA: transposeB, transposeB: true })
          : matmul(g, b, { transposeB: !transposeB }),
        a.shape,
      ),
    () => {
      // One matrix for a whole batch: the sum over the batch is part of the product.
      if (b.shape.length === 2 && a.shape.length > 2 && !transposeA) {
        return transposeB
          ? matmul(rows(g), rows(a), { transposeA: true })
          : matmul(rows(a), rows(g), { transposeA: true });
      }
      return sumTo(
        transposeB
          ? matmul(g, a, { transposeA: true, transposeB: transposeA })
          : matmul(a, g, { transposeA: !transposeA }),
        b.shape,
      );
    },
  ];
};

const linearGradient: GradientRule<'linear'> = (g, node) => {
  const [x, weight] = [inputOf(node, 0), inputOf(node, 1)];
  return [() => matmul(g, weight), () => matmul(rows(g), rows(x), { transposeA: true }), () => sum(rows(g), [0])];
};

/** Parts of an axis, one a group. */
function groupsOf(x: Sym, axis: number, groups: number): Sym[] {
  const length = divideDim(x.shape[axis] ?? 1, groups);
  return Array.from({ length: groups }, (_, i) => slice(x, axis, multiplyDims(length, i), multiplyDims(length, i + 1)));
}

/** Gradient to the weight [out, in / groups, kh, kw] of a convolution of x [b, in, h, w] whose output's gradient is g [b, out, h', w']. */
function weightGradient(
  x: Sym,
  g: Sym,
  weight: Sym,
  attributes: Parameters<GradientRule<'conv2d'>>[1]['attributes'],
): Sym {
  const { stride, pads, groups } = attributes;
  const [, , kh = 1, kw = 1] = weight.shape;
  const window = { kernel: [Number(kh), Number(kw)], stride, pads, groups: 1 } as const;
  if (groups === 1) return conv2dWeightGradient(x, g, window);
  const gradients = groupsOf(g, 1, groups);
  return concat(
    groupsOf(x, 1, groups).map((part, i) => conv2dWeightGradient(part, gradients[i] as Sym, window)),
    0,
  );
}

const convGradient: GradientRule<'conv2d'> = (g, node) => {
  const [x, weight] = [inputOf(node, 0), inputOf(node, 1)];
  const [, , height = 1, width = 1] = x.shape;
  return [
    () => convTranspose2d(g, weight, { ...node.attributes, height, width }),
    () => weightGradient(x, g, weight, node.attributes),
    () => sum(g, [0, 2, 3]),
  ];
};

const convTransposeGradient: GradientRule<'convTranspose2d'> = (g, node) => {
  const [x, weight] = [inputOf(node, 0), inputOf(node, 1)];
  const { stride, pads, groups } = node.attributes;
  return [
    () => conv2d(g, weight, undefined, { stride, padding: pads, groups }),
    () => weightGradient(g, x, weight, { stride, pads, groups }),
  ];
};

/** The weight's gradient is linear in both its inputs. */
const convWeightGradientGradient: GradientRule<'conv2dWeightGradient'> = (g, node) => {
  const [x, dy] = [inputOf(node, 0), inputOf(node, 1)];
  const { stride, pads, groups } = node.attributes;
  const [, , height = 1, width = 1] = x.shape;
  return [
    () => convTranspose2d(dy, g, { stride, pads, groups, height, width }),
    () => conv2d(x, g, undefined, { stride, padding: pads, groups }),
  ];
};

export const contractionGradients: GradientRules<
  'matmul' | 'linear' | 'conv2d' | 'convTranspose2d' | 'conv2dWeightGradient' | 'attention'
> = {
  matmul: matmulGradient,
  linear: linearGradient,
  conv2d: convGradient,
  convTranspose2d: convTransposeGradient,
  conv2dWeightGradient: convWeightGradientGradient,
  attention: attentionGradient,
};
