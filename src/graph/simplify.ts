/**
 * Simplification: leaves out what no output needs, undoes operations that cancel, and calculates small constants.
 *
 * Values stay the same to the bit (except the sign of zeros), and 0 · x for non-finite x is never assumed away; inputs stay, unneeded parameters and
 * constants go. Barriers and stop-gradients stay too: the one because its place in the order is its purpose, the other because a
 * simplified graph may still be differentiated (the runtime drops it).
 */

import { toFloat32 } from '../tensor/convert.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import { type Dim, equalDims, equalShapes } from './dim.ts';
import { concat, neg, reshape, transpose } from './functions.ts';
import type { AnyNode, Graph } from './graph.ts';
import { neededFor } from './needed.ts';
import type { OpName } from './operations.ts';
import { applyNode, replay } from './replay.ts';
import type { GraphBuilder, Sym } from './trace.ts';

/** Constants of at most this many elements are calculated with. */
const smallConstant = 256;

/** Without nodes, parameters and constants that no output needs. */
export function dropUnused(graph: Graph): Graph {
  const { nodes, has } = neededFor(graph);
  return { ...graph, nodes, parameters: graph.parameters.filter(has), constants: graph.constants.filter(has) };
}

const round = Math.fround;

/** Elementwise functions on float32 numbers, as far as they are exactly rounded everywhere. */
const folded: { readonly [K in OpName]?: (a: number, b: number) => number } = {
  add: (a, b) => round(a + b),
  sub: (a, b) => round(a - b),
  mul: (a, b) => round(a * b),
  div: (a, b) => round(a / b),
  neg: (a) => -a,
  abs: Math.abs,
  sqrt: (a) => round(Math.sqrt(a)),
  reciprocal: (a) => round(1 / a),
};

/** Facts about the values of the graph being rebuilt. */
class Knowledge {
  readonly #nodes = new Map<number, AnyNode>();
  readonly #constants = new Map<number, Tensor>();
  #nodesSeen = 0;
  #constantsSeen = 0;
  readonly #builder: GraphBuilder;

  constructor(builder: GraphBuilder) {
    this.#builder = builder;
  }

  #update(): void {
    const { nodes, constants } = this.#builder;
    for (; this.#nodesSeen < nodes.length; this.#nodesSeen++) {
      const node = nodes[this.#nodesSeen] as AnyNode;
      this.#nodes.set(node.output.id, node);
    }
    for (; this.#constantsSeen < constants.length; this.#constantsSeen++) {
      const { value, tensor } = constants[this.#constantsSeen] as (typeof constants)[number];
      this.#constants.set(value.id, tensor);
    }
  }

  /** The node that makes a value. */
  node(value: Sym): AnyNode | undefined {
    this.#update();
    return this.#nodes.get(value.id);
  }

  /** A small float32 constant's elements. */
  constant(value: Sym): Tensor<'float32'> | undefined {
    this.#update();
    const tensor = this.#constants.get(value.id);
    return tensor && tensor.dtype === 'float32' && tensor.data.length <= smallConstant ? toFloat32(tensor) : undefined;
  }

  /** True if every element of a value is this number. */
  is(value: Sym, number: number): boolean {
    const data = this.constant(value)?.data;
    return data?.every((element) => element === number) ?? false;
  }
}

/** The constant an operation on constants of one shape, or one of them a scalar, gives. */
function fold(node: AnyNode, inputs: readonly Sym[], known: Knowledge): Tensor | undefined {
  const calculate = folded[node.op];
  const tensors = inputs.map((input) => known.constant(input));
  const [a, b = a] = tensors;
  if (!a || !b || tensors.includes(undefined)) return undefined;
  if (node.op === 'reshape' && node.output.shape.every((size) => typeof size === 'number'))
    return { dtype: 'float32', shape: node.output.shape as readonly number[], data: a.data };
  if (!calculate) return undefined;
  const scalar = (t: Tensor): boolean => t.shape.length === 0;
  if (!equalShapes(a.shape, b.shape) && !scalar(a) && !scalar(b)) return undefined;
  const shape = scalar(a) ? b.shape : a.shape;
  const element = (t: Tensor<'float32'>, i: number): number => (scalar(t) ? t.data[0] : t.data[i]) as number;
  return float32(
    shape,
    Float32Array.from({ length: elementCount(shape) }, (_, i) => calculate(element(a, i), element(b, i))),
  );
}

/** True if an input can replace the result: it has the result's type and shape. */
const fits = (input: Sym | undefined, node: AnyNode): input is Sym =>
  input !== undefined && input.dtype === node.output.dtype && equalShapes(input.shape, node.output.shape);

/**
 * The sum of two tensors with zeros around them that leave each other just the room they take, which is the two side by side: the gradient
 * of a tensor that was split in halves.
 */
function sideBySide(a: AnyNode | undefined, b: AnyNode | undefined, builder: GraphBuilder): Sym | undefined {
  if (a?.op !== 'pad' || b?.op !== 'pad' || a.attributes.value !== 0 || b.attributes.value !== 0) return undefined;
  const [from, to] = [a.inputs[0] as Sym, b.inputs[0] as Sym];
  const { before, after } = a.attributes;
  const axes = before.flatMap((size, i) =>
    size !== 0 || after[i] !== 0 || b.attributes.before[i] !== 0 || b.attributes.after[i] !== 0 ? [i] : [],
  );
  const [axis, ...others] = axes;
  if (axis === undefined || others.length > 0) return undefined;
  const leads = (first: AnyNode & { op: 'pad' }, second: AnyNode & { op: 'pad' }): boolean => {
    const lengths = [first, second].map(({ inputs }) => inputs[0]?.shape[axis] ?? -1);
    const sizes = [first.attributes.after[axis] ?? -1, second.attributes.before[axis] ?? -1];
    return (
      first.attributes.before[axis] === 0 &&
      second.attributes.after[axis] === 0 &&
      equalDims(sizes[0] as Dim, lengths[1] as Dim) &&
      equalDims(sizes[1] as Dim, lengths[0] as Dim)
    );
  };
  const [left, right] = [
    { ...from, builder },
    { ...to, builder },
  ];
  if (leads(a, b)) return concat([left, right], axis);
  return leads(b, a) ? concat([right, left], axis) : undefined;
}

function rewrite(node: AnyNode, inputs: readonly Sym[], known: Knowledge): Sym | undefined {
  const [a, b] = inputs;
  if (!a) return undefined;
  const before = known.node(a);
  /** The input of the node before, in the new graph. */
  const inner = (): Sym => ({ ...(before?.inputs[0] as Sym), builder: a.builder });
  switch (node.op) {
    case 'reshape':
      if (fits(a, node)) return a;
      return before?.op === 'reshape' ? reshape(inner(), node.attributes.shape) : undefined;
    case 'transpose': {
      const { permutation } = node.attributes;
      if (permutation.every((axis, i) => axis === i)) return a;
      return before?.op === 'transpose'
        ? transpose(
            inner(),
            permutation.map((axis) => before.attributes.permutation[axis] as number),
          )
        : undefined;
    }
    case 'expand':
    case 'cast':
    case 'concat':
      return inputs.length === 1 && fits(a, node) ? a : undefined;
    case 'pad':
      return node.attributes.before.every((size) => size === 0) && node.attributes.after.every((size) => size === 0)
        ? a
        : undefined;
    case 'slice': {
      const { axis, start, end, step } = node.attributes;
      return start === 0 && step === 1 && equalDims(end, a.shape[axis] ?? -1) ? a : undefined;
    }
    case 'neg':
      return before?.op === 'neg' ? inner() : undefined;
    case 'sum':
      return node.attributes.axes.every((axis) => a.shape[axis] === 1) && fits(a, node) ? a : undefined;
    case 'add':
      if (b && known.is(b, 0) && fits(a, node)) return a;
      if (known.is(a, 0) && fits(b, node)) return b;
      return b && sideBySide(before, known.node(b), a.builder);
    case 'sub':
      if (b && known.is(b, 0) && fits(a, node)) return a;
      return known.is(a, 0) && fits(b, node) ? neg(b) : undefined;
    case 'mul':
      if (b && known.is(b, 1) && fits(a, node)) return a;
      if (known.is(a, 1) && fits(b, node)) return b;
      return b && known.is(b, -1) && fits(a, node) ? neg(a) : undefined;
    case 'div':
    case 'pow':
      return b && known.is(b, 1) && fits(a, node) ? a : undefined;
    default:
      return undefined;
  }
}

/** The simplified graph: same inputs and outputs, at most as many nodes. */
export function simplify(graph: Graph): Graph {
  let known: Knowledge | undefined;
  const { builder, outputs } = replay(dropUnused(graph), (b, node, inputs) => {
    known ??= new Knowledge(b);
    const constant = fold(node, inputs, known);
    if (constant) return b.constant(constant);
    return rewrite(node, inputs, known) ?? applyNode(b, node, inputs);
  });
  return dropUnused(builder.graph(outputs));
}
