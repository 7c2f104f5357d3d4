/** Gradients of the operations that work element by element. At kinks they are PyTorch's: 0 for abs and relu at 0, through at clamp's bounds, half each for equal maxima. */

import {
  rankMean,
  add,
  cast,
  cos,
  div,
  equal,
  erf,
  exp,
  less,
  log,
  mul,
  neg,
  pow,
  sigmoid,
  sign,
  sin,
  sub,
  where,
} from '../functions.ts';
import type { OpName } from '../operations.ts';
import type { Sym } from '../trace.ts';
import { type GradientRule, type GradientRules, inputOf, sumTo } from './rule.ts';

/** A function of one value: g · f'(x), from x and y = f(x). */
function unary<K extends OpName>(derivative: (g: Sym, x: Sym, y: Sym) => Sym): GradientRule<K> {
  return (g, node) => [() => derivative(g, inputOf(node, 0), node.output)];
}

/** A function of two values that broadcast: the gradients in the output's shape, summed to the inputs' shapes. */
function binary<K extends OpName>(
  toA: (g: Sym, a: Sym, b: Sym, y: Sym) => Sym,
  toB: (g: Sym, a: Sym, b: Sym, y: Sym) => Sym,
): GradientRule<K> {
  return (g, node) => {
    const [a, b] = [inputOf(node, 0), inputOf(node, 1)];
    return [() => sumTo(toA(g, a, b, node.output), a.shape), () => sumTo(toB(g, a, b, node.output), b.shape)];
  };
}

/** The chosen value gets the whole gradient; equal values share it. */
function choose(g: Sym, chosen: Sym, a: Sym, b: Sym): Sym {
  return where(chosen, g, where(equal(a, b), mul(g, 0.5), 0));
}

const none = (): readonly undefined[] => [undefined, undefined];

/** x · s(kx): s + k·y·(1 - s), with s the sigmoid of kx and y the output. */
function gated(k: number): (g: Sym, x: Sym, y: Sym) => Sym {
  return (g, x, y) => {
    const s = sigmoid(k === 1 ? x : mul(x, k));
    return mul(g, add(s, mul(k === 1 ? y : mul(y, k), sub(1, s))));
  };
}

export const elementwiseGradients: GradientRules<
  | 'neg'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'abs'
  | 'sign'
  | 'reciprocal'
  | 'floor'
  | 'erf'
  | 'sin'
  | 'cos'
  | 'tanh'
  | 'sigmoid'
  | 'relu'
  | 'softplus'
  | 'silu'
  | 'quickGelu'
  | 'gelu'
  | 'leakyRelu'
  | 'clamp'
  | 'rankMean'
  | 'cast'
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'pow'
  | 'maximum'
  | 'minimum'
  | 'less'
  | 'equal'
  | 'where'
> = {
  neg: unary((g) => neg(g)),
  exp: unary((g, _, y) => mul(g, y)),
  log: unary((g, x) => div(g, x)),
  sqrt: unary((g, _, y) => div(mul(g, 0.5), y)),
  abs: unary((g, x) => mul(g, sign(x))),
  sign: none,
  reciprocal: unary((g, _, y) => neg(mul(g, mul(y, y)))),
  floor: none,
  erf: unary((g, x) => mul(g, mul(exp(neg(mul(x, x))), 2 / Math.sqrt(Math.PI)))),
  sin: unary((g, x) => mul(g, cos(x))),
  cos: unary((g, x) => neg(mul(g, sin(x)))),
  tanh: unary((g, _, y) => mul(g, sub(1, mul(y, y)))),
  sigmoid: unary((g, _, y) => mul(g, mul(y, sub(1, y)))),
  relu: unary((g, x) => where(less(0, x), g, 0)),
  softplus: unary((g, x) => mul(g, sigmoid(x))),
  silu: unary(gated(1)),
  quickGelu: unary(gated(1.702)),
  gelu: unary((g, x) => {
    const cumulative = mul(add(erf(mul(x, Math.SQRT1_2)), 1), 0.5);
    const density = mul(exp(mul(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return mul(g, add(cumulative, mul(x, density)));
  }),
  leakyRelu: (g, node) => [() => where(less(0, inputOf(node, 0)), g, mul(g, node.attributes.slope))],
  clamp: (g, node) => [
    () => {
      const x = inputOf(node, 0);
      return where(less(x, node.attributes.min), 0, where(less(node.attributes.max, x), 0, g));
    },
  ],
  // Of the mean of the ranks' losses, to which each rank's gradient is a part of equal weight.
  rankMean: unary((g) => rankMean(g)),
  cast: (g, node) => {
    const { dtype } = inputOf(node, 0);
    return [dtype.startsWith('float') && node.attributes.dtype.startsWith('float') ? () => cast(g, dtype) : undefined];
  },
  add: binary(
    (g) => g,
    (g) => g,
  ),
  sub: binary(
    (g) => g,
    (g) => neg(g),
  ),
  mul: binary(
    (g, _, b) => mul(g, b),
    (g, a) => mul(g, a),
  ),
  div: binary(
    (g, _, b) => div(g, b),
    (g, _, b, y) => neg(div(mul(g, y), b)),
  ),
  pow: binary(
    (g, a, b) => mul(g, mul(b, pow(a, sub(b, 1)))),
    // If the base is 0, so is the gradient of its powers; the logarithm of a negative base is not a number, as in PyTorch.
    (g, a, _, y) => mul(g, where(equal(a, 0), 0, mul(y, log(a)))),
  ),
  maximum: binary(
    (g, a, b) => choose(g, less(b, a), a, b),
    (g, a, b) => choose(g, less(a, b), a, b),
  ),
  minimum: binary(
    (g, a, b) => choose(g, less(a, b), a, b),
    (g, a, b) => choose(g, less(b, a), a, b),
  ),
  less: none,
  equal: none,
  where: (g, node) => {
    const condition = inputOf(node, 0);
    return [
      undefined,
      () => sumTo(where(condition, g, 0), inputOf(node, 1).shape),
      () => sumTo(where(condition, 0, g), inputOf(node, 2).shape),
    ];
  },
};
