/** Gradients of reductions, of operations that move data, and of lookups. */

import { addDims, type Dim, equalShapes, multiplyDims, productOfDims, subtractDims } from '../dim.ts';
import {
  cast,
  dimension,
  div,
  equal,
  expand,
  gather,
  mul,
  pad,
  reshape,
  scatterAdd,
  slice,
  sum,
  transpose,
} from '../functions.ts';
import { axisOf } from '../operations.ts';
import type { Sym } from '../trace.ts';
import { type GradientRule, type GradientRules, inputOf, sumTo } from './rule.ts';

/** A reduced tensor with its reduced axes back as 1. */
function withAxes(reduced: Sym, x: Sym, axes: readonly number[]): Sym {
  const gone = new Set(axes.map((axis) => axisOf(axis, x.shape.length)));
  return reshape(
    reduced,
    x.shape.map((size, axis) => (gone.has(axis) ? 1 : size)),
  );
}

const sumGradient: GradientRule<'sum'> = (g, node) => {
  const x = inputOf(node, 0);
  return [() => expand(withAxes(g, x, node.attributes.axes), x.shape)];
};

const meanGradient: GradientRule<'mean'> = (g, node) => {
  const x = inputOf(node, 0);
  const { axes } = node.attributes;
  const count = productOfDims(axes.map((axis) => x.shape[axisOf(axis, x.shape.length)] ?? 1));
  return [() => expand(withAxes(div(g, dimension(g, count)), x, axes), x.shape)];
};

/** Elements that are equally large share the gradient (torch.amax). */
const maxGradient: GradientRule<'max'> = (g, node) => {
  const x = inputOf(node, 0);
  const { axes } = node.attributes;
  return [
    () => {
      const largest = cast(equal(x, withAxes(node.output, x, axes)), g.dtype);
      return mul(largest, div(withAxes(g, x, axes), sum(largest, axes, { keepDims: true })));
    },
  ];
};

/** Puts the elements of an axis `step` apart, zeros between and after them: n → n · step. */
export function spread(x: Sym, axis: number, step: number): Sym {
  if (step === 1) return x;
  const before = x.shape.slice(0, axis);
  const [length = 1, ...after] = x.shape.slice(axis);
  const column = reshape(x, [...before, length, 1, ...after]);
  const none = column.shape.map(() => 0);
  const padded = pad(
    column,
    none,
    none.map((_, i) => (i === axis + 1 ? step - 1 : 0)),
  );
  return reshape(padded, [...before, multiplyDims(length, step), ...after]);
}

/** Zeros, or another value, before and after one axis. */
export function padAxis(x: Sym, axis: number, before: Dim, after: Dim, value = 0): Sym {
  if (before === 0 && after === 0) return x;
  return pad(
    x,
    x.shape.map((_, i) => (i === axis ? before : 0)),
    x.shape.map((_, i) => (i === axis ? after : 0)),
    value,
  );
}

const sliceGradient: GradientRule<'slice'> = (g, node) => {
  const x = inputOf(node, 0);
  const { axis, start, step } = node.attributes;
  const length = x.shape[axis] ?? 1;
  return [
    () => {
      const wide = spread(g, axis, step);
      const rest = subtractDims(subtractDims(length, start), wide.shape[axis] ?? 1);
      // The zeros behind the last element may reach beyond the end.
      return step === 1
        ? padAxis(wide, axis, start, rest)
        : slice(padAxis(wide, axis, start, addDims(rest, step)), axis, 0, length);
    },
  ];
};

const concatGradient: GradientRule<'concat'> = (g, node) => {
  const { axis } = node.attributes;
  let start: Dim = 0;
  return node.inputs.map((input) => {
    const from: Dim = start;
    const end = addDims(from, input.shape[axis] ?? 1);
    start = end;
    return () => slice(g, axis, from, end);
  });
};

const padGradient: GradientRule<'pad'> = (g, node) => {
  const { before } = node.attributes;
  const x = inputOf(node, 0);
  return [
    () =>
      x.shape.reduce<Sym>((inner, length, axis) => {
        const start = before[axis] ?? 0;
        return equalShapes([inner.shape[axis] ?? 1], [length])
          ? inner
          : slice(inner, axis, start, addDims(start, length));
      }, g),
  ];
};

export const layoutGradients: GradientRules<
  | 'sum'
  | 'mean'
  | 'max'
  | 'argmax'
  | 'argmin'
  | 'reshape'
  | 'transpose'
  | 'concat'
  | 'slice'
  | 'pad'
  | 'expand'
  | 'range'
  | 'dimension'
  | 'stopGradient'
  | 'barrier'
  | 'gather'
  | 'scatterAdd'
  | 'oneHot'
> = {
  sum: sumGradient,
  mean: meanGradient,
  max: maxGradient,
  argmax: () => [undefined],
  argmin: () => [undefined],
  reshape: (g, node) => [() => reshape(g, inputOf(node, 0).shape)],
  transpose: (g, node) => [
    () =>
      transpose(
        g,
        node.attributes.permutation.map((_, axis) => node.attributes.permutation.indexOf(axis)),
      ),
  ],
  concat: concatGradient,
  slice: sliceGradient,
  pad: padGradient,
  expand: (g, node) => [() => sumTo(g, inputOf(node, 0).shape)],
  range: () => [],
  dimension: () => [],
  stopGradient: () => [undefined],
  barrier: (g) => [() => g, undefined],
  gather: (g, node) => [() => scatterAdd(inputOf(node, 1), g, inputOf(node, 0).shape[0] ?? 1), undefined],
  scatterAdd: (g, node) => [undefined, () => gather(g, inputOf(node, 0))],
  oneHot: () => [undefined],
};
