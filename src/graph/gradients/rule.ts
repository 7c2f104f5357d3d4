/** A gradient rule: from the gradient of a node's output to the gradients of its inputs (reverse-mode differentiation). */

import { StableDiffusionError } from '../../errors.ts';
import { type Dim, equalDims, equalShapes } from '../dim.ts';
import { reshape, sum } from '../functions.ts';
import type { Attributes, OpName } from '../operations.ts';
import type { Sym } from '../trace.ts';

/** The node to be differentiated. Its values may be recomputed ones. */
export interface RuleNode<K extends OpName> {
  readonly inputs: readonly Sym[];
  readonly attributes: Attributes[K];
  readonly output: Sym;
}

/**
 * For each input, how to make its gradient from `gradient`, that of the output; undefined for an input that has none (integers,
 * conditions, piecewise constant functions). Only those that are needed are made.
 */
export type GradientRule<K extends OpName> = (gradient: Sym, node: RuleNode<K>) => readonly ((() => Sym) | undefined)[];

export type GradientRules<K extends OpName> = { readonly [N in K]: GradientRule<N> };

/** Input `index` of a node, which must have it. */
export function inputOf(node: { readonly inputs: readonly Sym[] }, index: number): Sym {
  const found = node.inputs[index];
  if (!found) throw new StableDiffusionError('invalid-argument', `An operation lacks its input ${index}.`);
  return found;
}

/** Sums a gradient over the axes along which a value of `shape` was broadcast. */
export function sumTo(gradient: Sym, shape: readonly Dim[]): Sym {
  if (equalShapes(gradient.shape, shape)) return gradient;
  const lead = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((size, axis) => {
    const own = axis < lead ? undefined : shape[axis - lead];
    return own === undefined || !equalDims(own, size) ? [axis] : [];
  });
  return reshape(axes.length > 0 ? sum(gradient, axes, { keepDims: true }) : gradient, shape);
}
