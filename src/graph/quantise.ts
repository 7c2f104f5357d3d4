/**
 * Quantising: the layers of a graph that hold nearly all of its work are replaced by layers in 8 bits.
 *
 * The others stay unchanged, because they have little work and cause much error (docs/notes/int8.md): layers on few rows (embeddings of the
 * time); the first and last convolution, on the latent or image itself; 1x1 and strided convolutions, which read the residual stream as it
 * is, with its few large channels, and write to it; layers on products (GEGLU), whose few large values leave few steps to the others.
 */

import { channelsLast } from './channels-last.ts';
import { type Bindings, type Dim, evaluateDim } from './dim.ts';
import { int8Conv2d, int8DirectConv2d, int8Linear, slice, transpose } from './functions.ts';
import type { AnyNode, Graph, Node, Value } from './graph.ts';
import { applyNode, replay } from './replay.ts';
import { dropUnused } from './simplify.ts';
import type { GraphBuilder, Sym } from './trace.ts';

/** An int8 parameter of the new graph, and the old parameter that it is computed from. */
export interface Int8Part {
  /** The parameter of the old graph: [out, in] or [out, in, kh, kw]. */
  readonly source: string;
  /** Rows start … end - 1 of it. */
  readonly start: number;
  readonly end: number;
  /** Name of the parameter: [in, out], [kh · kw · in, out], or in the order of the old one for direct convolutions. */
  readonly weight: string;
  /** Name of the parameter [out]: what one step of a weight is worth in each output channel. */
  readonly scale: string;
  readonly shape: readonly number[];
}

export interface Quantised {
  readonly graph: Graph;
  readonly parts: readonly Int8Part[];
}

/** Fewer input or output channels than this are not worth it. */
const fewestChannels = 32;

/** True for layers with stored weights that are worth quantising. `products` are results of multiplications. */
function isQuantised(
  node: AnyNode,
  parameters: ReadonlyMap<number, string>,
  products: ReadonlySet<number>,
): node is Node<'linear'> | Node<'conv2d'> {
  if (node.op !== 'linear' && node.op !== 'conv2d') return false;
  const [x, weight] = node.inputs;
  if (node.op === 'conv2d' && (node.attributes.groups !== 1 || node.attributes.stride !== 1)) return false;
  if (node.op === 'conv2d' && weight?.shape.slice(2).every((size) => size === 1)) return false;
  if (!x || !weight || !parameters.has(weight.id) || x.dtype !== 'float32' || x.shape.length < 3) return false;
  if (products.has(x.id)) return false;
  return weight.shape.slice(0, 2).every((size) => Number(size) >= fewestChannels);
}

/** The slices of a layer's result, where only slices of its last axis are used. */
function slicesOf(node: AnyNode, readers: readonly AnyNode[], isOutput: boolean): readonly Node<'slice'>[] {
  if (node.op !== 'linear' || isOutput || readers.length === 0) return [];
  const slices = readers.filter(
    (reader): reader is AnyNode & Node<'slice'> =>
      reader.op === 'slice' &&
      reader.attributes.axis === node.output.shape.length - 1 &&
      reader.attributes.step === 1 &&
      typeof reader.attributes.start === 'number' &&
      typeof reader.attributes.end === 'number',
  );
  return slices.length === readers.length ? slices : [];
}

/** All symbolic sizes as one number, which every factor of networks divides. */
const anySize: Bindings = { get: () => 4096 };

/** True for images larger than every input of the network, as a decoder has them. */
function isEnlarged(height: Dim, graph: Graph): boolean {
  const heights = graph.inputs.flatMap(({ value }) => (value.shape.length === 4 ? [value.shape[2] ?? 1] : []));
  if (typeof height === 'number' || heights.length === 0) return false;
  return heights.every((given) => evaluateDim(height, anySize) > evaluateDim(given, anySize));
}

export interface QuantiseOptions {
  /** Parameters of layers that are not quantised. */
  readonly keep?: (name: string) => boolean;
}

export function quantise(graph: Graph, { keep }: QuantiseOptions = {}): Quantised {
  const names = new Map(graph.parameters.map(({ name, value }) => [value.id, name]));
  const readers = new Map<number, AnyNode[]>();
  for (const node of graph.nodes) for (const { id } of node.inputs) readers.set(id, [...(readers.get(id) ?? []), node]);
  const outputs = new Set(graph.outputs.map(({ value }) => value.id));
  const products = new Set(graph.nodes.filter(({ op }) => op === 'mul').map(({ output }) => output.id));
  const parts = new Map<string, Int8Part>();
  /** Layers that are replaced slice by slice, by their slices. */
  const sliced = new Map<AnyNode, { readonly layer: AnyNode; readonly inputs: readonly Sym[] }>();

  const layer = (b: GraphBuilder, node: AnyNode, inputs: readonly Sym[], start: number, end: number): Sym => {
    const [x, , bias] = inputs as readonly [Sym, Sym, Sym | undefined];
    const weight = node.inputs[1] as Value;
    const direct = node.op === 'conv2d' && isEnlarged(node.output.shape[2] ?? 1, graph);
    const part = partOf(names.get(weight.id) ?? '', weight.shape.map(Number), { start, end, direct });
    parts.set(part.weight, part);
    const stored = b.parameter(part.weight, part.shape, 'int8');
    const scale = b.parameter(part.scale, [end - start], 'float32');
    const whole = end - start === Number(weight.shape[0]);
    const added = bias && !whole ? slice(bias, 0, start, end) : bias;
    if (node.op !== 'conv2d') return int8Linear(x, stored, scale, added);
    const [, , kh = 1, kw = 1] = weight.shape.map(Number);
    const { stride, pads } = node.attributes;
    const parameters = { weight: stored, scale, bias: added };
    const last = transpose(x, [0, 2, 3, 1]);
    const made = direct
      ? int8DirectConv2d(last, parameters, { pads })
      : int8Conv2d(last, parameters, { kernel: [kh, kw], stride, pads });
    return transpose(made, [0, 3, 1, 2]);
  };

  const replayed = replay(graph, (b, node, inputs) => {
    const from = sliced.get(node);
    if (from) {
      const { start, end } = (node as Node<'slice'>).attributes;
      return layer(b, from.layer, from.inputs, Number(start), Number(end));
    }
    if (!isQuantised(node as AnyNode, names, products) || keep?.(names.get(node.inputs[1]?.id ?? -1) ?? ''))
      return applyNode(b, node, inputs);
    const slices = slicesOf(node, readers.get(node.output.id) ?? [], outputs.has(node.output.id));
    for (const part of slices) sliced.set(part as AnyNode, { layer: node, inputs });
    // A layer of which only slices are used is removed with other unneeded nodes.
    if (slices.length > 0) return applyNode(b, node, inputs);
    return layer(b, node, inputs, 0, Number(node.inputs[1]?.shape[0]));
  });
  const quantised = dropUnused(replayed.builder.graph(replayed.outputs));
  return { graph: channelsLast(quantised), parts: [...parts.values()] };
}

function partOf(
  source: string,
  shape: readonly number[],
  { start, end, direct }: { readonly start: number; readonly end: number; readonly direct: boolean },
): Int8Part {
  const [out = 0, inner = 0, kh = 1, kw = 1] = shape;
  const rows = start === 0 && end === out ? '' : `[${start}:${end}]`;
  return {
    source,
    start,
    end,
    weight: `${source}${rows} int8`,
    scale: `${source}${rows} scale`,
    shape: direct ? shape : [kh * kw * inner, end - start],
  };
}
