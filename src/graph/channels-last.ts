/**
 * Channels last: images that convolutions in 8 bits read and write as [b, h, w, c] stay so through everything between them that can be
 * computed in that order, and become tokens [b, h·w, c] without a copy. Anything else reads them as [b, c, h, w].
 */

import { equalShapes, multiplyDims } from './dim.ts';
import { concat, groupNormLast, linear, reshape, transpose } from './functions.ts';
import type { AnyNode, Graph, Node, Value } from './graph.ts';
import type { OpName } from './operations.ts';
import { applyNode, replay } from './replay.ts';
import { dropUnused } from './simplify.ts';
import type { GraphBuilder, Sym } from './trace.ts';

const elementwise: ReadonlySet<OpName> = new Set([
  'neg',
  'tanh',
  'sigmoid',
  'relu',
  'silu',
  'quickGelu',
  'gelu',
  'leakyRelu',
  'clamp',
  'add',
  'sub',
  'mul',
  'div',
  'maximum',
  'minimum',
]);

/** Images [b, c, h, w], and [b, c, h·w], of the new graph by their ids, with the same values in the order [b, h, w, c] or [b, h·w, c]. */
class LastOrder {
  readonly #known = new Map<number, Sym>();

  has(x: Value): boolean {
    return this.#known.has(x.id);
  }

  of(x: Sym): Sym {
    return this.#known.get(x.id) ?? transpose(x, [0, ...x.shape.slice(2).map((_, i) => i + 2), 1]);
  }

  /** The values of `last` in the usual order; the transposition goes if nothing reads it. */
  usual(last: Sym): Sym {
    const axes = last.shape.slice(2).map((_, i) => i + 1);
    const x = transpose(last, [0, last.shape.length - 1, ...axes]);
    return this.keep(x, last);
  }

  keep(x: Sym, last: Sym): Sym {
    this.#known.set(x.id, last);
    return x;
  }
}

const isImage = ({ shape, dtype }: Value): boolean => shape.length === 4 && dtype === 'float32';

function isPointwise({ attributes, inputs }: Node<'conv2d'>): boolean {
  const { stride, groups, pads } = attributes;
  const kernel = inputs[1]?.shape.slice(2) ?? [];
  return stride === 1 && groups === 1 && pads.every((count) => count === 0) && kernel.every((size) => size === 1);
}

/** Nearest-neighbour enlargement of [b, h, w, c]: pixels side by side, then rows below each other. */
function enlarged(x: Sym, scale: number): Sym {
  const [b = 1, h = 1, w = 1, c = 1] = x.shape;
  const times = (value: Sym, axis: number): Sym =>
    concat(
      Array.from({ length: scale }, () => value),
      axis,
    );
  const row = multiplyDims(w, multiplyDims(c, scale));
  const wide = reshape(times(x, 3), [b, h, row]);
  return reshape(times(wide, 2), [b, multiplyDims(h, scale), multiplyDims(w, scale), c]);
}

/** The result of an operation with channels last, if it can and should be computed so. */
function inLastOrder(b: GraphBuilder, node: AnyNode, inputs: readonly Sym[], order: LastOrder): Sym | undefined {
  const [x, weight, bias] = inputs as readonly [Sym, Sym, Sym | undefined];
  if (!isImage(node.output)) return undefined;
  if (node.op === 'groupNorm' && bias) return groupNormLast(order.of(x), weight, bias, node.attributes);
  if (!inputs.some((value) => order.has(value))) return undefined;
  if (node.op === 'conv2d' && isPointwise(node)) return linear(order.of(x), weight, bias);
  if (node.op === 'upsampleNearest') return enlarged(order.of(x), node.attributes.scale);
  if (node.op === 'concat' && node.attributes.axis === 1)
    return concat(
      inputs.map((value) => order.of(value)),
      3,
    );
  if (!elementwise.has(node.op) || !inputs.every((value) => value.shape.length === 0 || isImage(value)))
    return undefined;
  const operands = inputs.map((value) => (value.shape.length === 0 ? value : order.of(value)));
  return applyNode(b, node, operands);
}

/** The result of a change of shape, from images to tokens and back. */
function reshaped(b: GraphBuilder, node: AnyNode, x: Sym, order: LastOrder): Sym | undefined {
  if (node.op === 'transpose') {
    const axes = node.attributes.permutation.join();
    if (order.has(x) && (axes === '0,2,3,1' || axes === '0,2,1')) return order.of(x);
    if (axes === '0,3,1,2' || axes === '0,2,1') return order.keep(applyNode(b, node, [x]), x);
  }
  if (node.op !== 'reshape' || !order.has(x)) return undefined;
  const [from, to] = [x.shape.length, node.output.shape.length];
  const same = equalShapes(node.output.shape.slice(0, 2), x.shape.slice(0, 2));
  if (!same || from + to !== 7) return undefined;
  const [first = 1, channels = 1, ...rest] = node.output.shape;
  return order.keep(applyNode(b, node, [x]), reshape(order.of(x), [first, ...rest, channels]));
}

/** Unchanged where no convolution in 8 bits is in the graph. */
export function channelsLast(graph: Graph): Graph {
  if (!graph.nodes.some(({ op }) => op === 'int8Conv2d' || op === 'int8DirectConv2d')) return graph;
  const order = new LastOrder();
  const { builder, outputs } = replay(graph, (b, node, inputs) => {
    const [x] = inputs;
    const moved = x && reshaped(b, node, x, order);
    if (moved) return moved;
    const last = inLastOrder(b, node, inputs, order);
    return last ? order.usual(last) : applyNode(b, node, inputs);
  });
  return dropUnused(builder.graph(outputs));
}
